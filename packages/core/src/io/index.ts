export * from './atomic.js'
export { loadNpy, npyBytes, parseNpy, saveNpy } from './npy.js'
export {
  loadSafetensors,
  type SafetensorsFile,
  type ShardOptions,
  saveSafetensors,
  saveSharded,
} from './safetensors.js'
export type { OpenSafetensors, ReadOptions } from './safetensors-file.js'
export { type OpenOptions, openSafetensors } from './safetensors-index.js'
export type { FloatType, LazyTensor, SaveOptions, TensorSource } from './safetensors-plan.js'
export * from './stored-tensor.js'
export { fromTensor, toTensor } from './tfjs-tensors.js'
export {
  type IterateVecsOptions,
  iterateVecs,
  loadVecs,
  saveVecs,
  type Vecs,
  type VecsArray,
} from './vecs.js'
