export type { ImageProcessorOptions } from './configuration.js'
export type { ImageSource } from './decode.js'
export { ImageProcessor } from './image-processor.js'
export { type Filter, type RawImage, resizeImage } from './resize.js'
