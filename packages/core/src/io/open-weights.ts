import { openNpz } from './npz.js'
import { type OpenOptions, openSafetensors } from './safetensors-index.js'
import type { TensorFile } from './stored-tensor.js'
import { openTorchCheckpoint } from './torch-checkpoint.js'

/**
 * Opens weights by their path, whatever the format: what `loadWeights` reads from. `.pt`, `.pth`, `.bin` and `.ckpt` are PyTorch's,
 * `.npz` NumPy's, all else is safetensors.
 */
export function openWeights(path: string, options: OpenOptions = {}): Promise<TensorFile> {
  if (/\.(pth?|bin|ckpt)$/i.test(path)) return openTorchCheckpoint(path)
  if (/\.npz$/i.test(path)) return openNpz(path)
  return openSafetensors(path, options)
}
