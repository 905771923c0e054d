export { VideoDecoder, type VideoDecoderOptions } from './video-decoder.js'
