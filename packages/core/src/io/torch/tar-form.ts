import type { ByteSource } from '../byte-source.js'
import type { TorchFile } from './file.js'
import { badLegacy } from './legacy-form.js'

/** The form before PyTorch 0.1.10, a tar archive. */
export async function readTarForm(source: ByteSource): Promise<TorchFile> {
  throw badLegacy(
    source,
    'a file of PyTorch 0.1.10 or later',
    'a tar archive, as older versions wrote',
    'Load it with PyTorch (`weights_only=False`, if you trust it) and save it again.',
  )
}
