import type { PickleValue } from '../pickle/values.js'
import type { StorageReader } from './storages.js'

/** A checkpoint whose pickle was read, in either form. */
export interface TorchFile {
  value: PickleValue
  /** Bytes of the pickle. */
  pickled: number
  storages: StorageReader
}
