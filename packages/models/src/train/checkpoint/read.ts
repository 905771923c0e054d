import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { VqFormatError } from '@vq/core'
import { loadSafetensors, type StateDict } from '@vq/core/io'
import { formatVersion } from '../../artifact/artifact.js'
import type { StateFile } from './folder.js'

/** A file of a checkpoint is missing, cut off or changed. */
export class DamagedError extends VqFormatError {
  constructor(path: string, received: string, cause?: unknown) {
    super({
      operation: `reading ${path}`,
      expected: 'the file that was written',
      received,
      remedy: 'Go on from an older checkpoint, or start over with overwrite: true.',
      cause,
    })
  }
}

/** state.json of a checkpoint. Throws VqFormatError. */
export async function readState(checkpoint: string): Promise<StateFile> {
  const path = join(checkpoint, 'state.json')
  let text = ''
  let state: StateFile | undefined
  try {
    text = await readFile(path, 'utf8')
    state = JSON.parse(text)
  } catch (error) {
    throw new DamagedError(path, text === '' ? 'nothing' : 'no JSON', error)
  }
  if (state?.formatVersion === formatVersion && Number.isSafeInteger(state.step)) return state
  throw new VqFormatError({
    operation: `reading ${path}`,
    expected: `a training state of format version ${formatVersion}`,
    received: text.slice(0, 80),
    remedy:
      'Resume with the release of VQ that wrote it, or remove this checkpoint to go on from an older one.',
  })
}

/** One file of a checkpoint. Throws DamagedError. */
export async function readTensors(
  checkpoint: string,
  name: string,
  { files }: StateFile,
): Promise<StateDict> {
  const path = join(checkpoint, name)
  const bytes = await readFile(path).catch(error => {
    throw new DamagedError(path, (error as NodeJS.ErrnoException).code ?? 'nothing', error)
  })
  const wanted = files?.[name]
  if (wanted !== undefined && wanted.bytes !== bytes.length)
    throw new DamagedError(path, `${bytes.length} bytes instead of ${wanted.bytes}`)
  if (wanted !== undefined && wanted.crc32 !== crc32(bytes)) throw new DamagedError(path, 'other bytes')
  try {
    return (await loadSafetensors(path)).tensors
  } catch (error) {
    throw new DamagedError(path, (error as Error).message, error)
  }
}
