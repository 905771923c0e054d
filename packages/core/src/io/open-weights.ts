import { type OpenOptions, openSafetensors } from './safetensors-index.js'
import type { TensorFile } from './stored-tensor.js'

/** Opens weights by their path, whatever the format: what `loadWeights` reads from. */
export function openWeights(path: string, options: OpenOptions = {}): Promise<TensorFile> {
  return openSafetensors(path, options)
}
