import type { ByteSource } from '../byte-source.js'
import { areFlags, decodeValues } from '../stored-bytes.js'
import { elementsPerValue, isFloat, type StoredArray } from '../stored-tensor.js'
import { gatherStrided } from '../strides.js'
import { swapBytes } from '../swap-bytes.js'
import { badLegacy } from './legacy-form.js'
import type { StorageReader } from './storages.js'
import type { TorchTensor } from './tensor.js'

/** Storages up to this size are read whole where several tensors share them. */
const whole = 2 ** 28

/** The values of one tensor: no more is read than from its first element to its last. */
export async function readTensor(
  tensor: TorchTensor,
  storages: StorageReader,
  source: ByteSource,
): Promise<StoredArray> {
  const { storage, offset, width, span } = tensor
  if (span === 0) return decodeValues(tensor.dtype, new Uint8Array(0))
  const bytes = await storages.read(storage.key, storage.begin + offset * width, span * width)
  return valuesIn(bytes, 0, tensor, storages.bigEndian, source)
}

/**
 * The values of many tensors. Each storage is read once, and kept no longer than it is needed; tensors that are the same view of it
 * share one array. Refuses views that come to far more than the file holds.
 */
export async function readTensors(
  tensors: Iterable<TorchTensor>,
  storages: StorageReader,
  source: ByteSource,
): Promise<Map<TorchTensor, StoredArray>> {
  const byKey = new Map<string, Map<string, TorchTensor[]>>()
  for (const tensor of tensors) {
    const { storage, dtype, offset, shape, strides, conj, neg } = tensor
    const views = byKey.get(storage.key) ?? new Map<string, TorchTensor[]>()
    byKey.set(storage.key, views)
    const view = JSON.stringify([dtype, storage.begin, offset, shape, strides, conj, neg])
    const same = views.get(view)
    if (same === undefined) views.set(view, [tensor])
    else same.push(tensor)
  }
  checkTotal(byKey, source)
  const read = new Map<TorchTensor, StoredArray>()
  for (const [key, views] of byKey) {
    const size = storages.size(key)
    const shared = views.size > 1 && size <= whole ? await storages.read(key, 0, size) : undefined
    for (const same of views.values()) {
      const [tensor] = same
      const at = tensor.storage.begin + tensor.offset * tensor.width
      const bytes = shared?.slice(at, at + tensor.span * tensor.width)
      const values = bytes
        ? valuesIn(bytes, 0, tensor, storages.bigEndian, source)
        : await readTensor(tensor, storages, source)
      for (const one of same) read.set(one, values)
    }
  }
  return read
}

function checkTotal(
  byKey: ReadonlyMap<string, ReadonlyMap<string, TorchTensor[]>>,
  source: ByteSource,
): void {
  let total = 0
  for (const views of byKey.values())
    for (const [tensor] of views.values()) total += tensor.count * tensor.width
  const most = Math.max(2 ** 28, 16 * source.size)
  if (total > most)
    throw badLegacy(
      source,
      `tensors of at most ${most} bytes together`,
      `${total} bytes, in views that share storages`,
      'Read them one at a time: `openTorchCheckpoint`.',
    )
}

function valuesIn(
  bytes: Uint8Array<ArrayBuffer>,
  offset: number,
  tensor: TorchTensor,
  bigEndian: boolean,
  source: ByteSource,
): StoredArray {
  const { dtype, shape, strides, width } = tensor
  if (tensor.count === 0) return decodeValues(dtype, new Uint8Array(0))
  const ordered = swapBytes(gatherStrided(bytes, shape, strides, offset, width), dtype, bigEndian)
  if (dtype === 'BOOL' && !areFlags(ordered)) throw badLegacy(source, 'booleans of 0 and 1', 'other bytes')
  const values = decodeValues(dtype, ordered)
  if (tensor.conj || tensor.neg) negate(values, tensor, source)
  return values
}

// Conjugated and negated views are stored as what they are views of.
function negate(values: StoredArray, { dtype, conj, neg }: TorchTensor, source: ByteSource): void {
  const parts = elementsPerValue(dtype)
  if (
    (conj && parts !== 2) ||
    !(parts === 2 || isFloat(dtype)) ||
    !(values instanceof Float32Array || values instanceof Float64Array)
  )
    throw badLegacy(source, 'views to be negated or conjugated of floats or complex numbers', dtype)
  for (let i = 0; i < values.length; i++)
    if ((parts === 2 && i % 2 === 1 && conj) !== neg) values[i] = -values[i]
}
