export * from './atomic.js'
export {
  fromTensor,
  loadSafetensors,
  type SafetensorsFile,
  saveSafetensors,
  toTensor,
} from './safetensors.js'
export * from './stored-tensor.js'
