import '../backend/start.js'

export type { LoadOptions, LoadResult } from '../nn/loading.js'
export * from './atomic.js'
export { type LoadWeightsOptions, loadWeights } from './load-weights.js'
export { loadNpy, npyBytes, parseNpy, saveNpy } from './npy.js'
export { loadNpz, type NpzOptions, openNpz, saveNpz } from './npz.js'
export { openWeights } from './open-weights.js'
export { loadPickle, parsePickle } from './pickle/load.js'
export { openRows, type RowFile } from './rows.js'
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
  loadTorchCheckpoint,
  openTorchCheckpoint,
  type TorchCheckpoint,
  type TorchOptions,
} from './torch-checkpoint.js'
export {
  type IterateVecsOptions,
  iterateVecs,
  loadVecs,
  saveVecs,
  type Vecs,
  type VecsArray,
} from './vecs.js'
