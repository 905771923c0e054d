export { ImageDecoder, type ImageDecoderOptions } from './image-decoder.js'
export { mirrorDecoder } from './mirror.js'
