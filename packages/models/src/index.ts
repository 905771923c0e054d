export * from './artifact/artifact.js'
export * from './vqvae/index.js'
