export { ImageCNNEncoder, type ImageCNNOptions } from './cnn.js'
