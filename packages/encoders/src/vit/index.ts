export type { VisionTransformerOptions } from './options.js'
export { VisionTransformerEncoder } from './vision-transformer.js'
