export { CNN3DEncoder, type CNN3DOptions } from './cnn3d.js'
export { type AttentionType, TimeSformerEncoder, type TimeSformerOptions } from './timesformer.js'
export { VideoTransformerEncoder, type VideoTransformerOptions } from './video-transformer.js'
export { VideoMAEEncoder, type VideoMAEOptions } from './videomae.js'
