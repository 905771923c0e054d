export * from './atomic.js'
export { loadNpy, npyBytes, parseNpy, saveNpy } from './npy.js'
export {
  fromTensor,
  loadSafetensors,
  type SafetensorsFile,
  saveSafetensors,
  toTensor,
} from './safetensors.js'
export * from './stored-tensor.js'
