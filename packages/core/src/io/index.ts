export * from './atomic.js'
export { loadNpy, npyBytes, parseNpy, saveNpy } from './npy.js'
export { loadNpz, type NpzOptions, openNpz, saveNpz } from './npz.js'
export { loadPickle, parsePickle } from './pickle/load.js'
export {
  fromTensor,
  loadSafetensors,
  type SafetensorsFile,
  saveSafetensors,
  toTensor,
} from './safetensors.js'
export * from './stored-tensor.js'
export {
  loadTorchCheckpoint,
  openTorchCheckpoint,
  type TorchCheckpoint,
  type TorchOptions,
} from './torch-checkpoint.js'
