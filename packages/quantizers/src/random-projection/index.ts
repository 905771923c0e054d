export {
  RandomProjectionQuantizer,
  type RandomProjectionQuantizerOptions,
} from './random-projection-quantizer.js'
