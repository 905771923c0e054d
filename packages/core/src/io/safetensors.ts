import { type FileHandle, open } from 'node:fs/promises'
import * as tf from '@tensorflow/tfjs-core'
import { sizeOf } from '../backend/data.js'
import { describe } from '../check.js'
import { VqFormatError, VqShapeError, VqValueError } from '../errors.js'
import { writeFileAtomic } from './atomic.js'
import { fromBrain, fromHalf } from './half.js'
import { bytesOf, type HeaderEntry, largestHeader, malformed, parseHeader } from './safetensors-header.js'
import { arraysOf, type StateDict, type StoredTensor, type StoredType } from './stored-tensor.js'

export interface SafetensorsFile {
  /** In the order of the file. */
  tensors: StateDict
  /** The header's free strings. */
  metadata: Record<string, string>
}

/**
 * Reads a safetensors file. F16 and BF16 become F32. No more is allocated than the file is long.
 * Throws VqFormatError where the file is truncated, or its header lies about sizes, overlaps or leaves gaps.
 * Source: https://github.com/huggingface/safetensors#format.
 */
export async function loadSafetensors(path: string): Promise<SafetensorsFile> {
  const file = await open(path, 'r')
  try {
    const { size } = await file.stat()
    if (size < 8) throw malformed(path, 'at least 8 bytes', `${size}`)
    const length = Number(new DataView((await readExactly(file, 0, 8, path)).buffer).getBigUint64(0, true))
    if (length > Math.min(size - 8, largestHeader))
      throw malformed(path, `a header within the file's ${size} bytes`, `a header of ${length} bytes`)
    const text = decode(await readExactly(file, 8, length, path), path)
    const { entries, metadata } = parseHeader(text, size - 8 - length, path)
    const tensors: StateDict = Object.create(null)
    for (const entry of entries) {
      const bytes = await readExactly(file, 8 + length + entry.begin, entry.end - entry.begin, path)
      tensors[entry.name] = toStored(entry, bytes, path)
    }
    return { tensors, metadata }
  } finally {
    await file.close()
  }
}

function decode(bytes: Uint8Array, path: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    throw malformed(path, 'a header in UTF-8', 'other bytes')
  }
}

async function readExactly(
  file: FileHandle,
  at: number,
  length: number,
  path: string,
): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(length)
  let read = 0
  while (read < length) {
    const part = Math.min(length - read, 1 << 30)
    const { bytesRead } = await file.read(bytes, read, part, at + read)
    if (bytesRead === 0) throw malformed(path, `${length} bytes at ${at}`, `${read} bytes`)
    read += bytesRead
  }
  return bytes
}

function toStored(
  { name, dtype, shape }: HeaderEntry,
  bytes: Uint8Array<ArrayBuffer>,
  path: string,
): StoredTensor {
  const { buffer } = bytes
  switch (dtype) {
    case 'F32':
      return { dtype, shape, data: new Float32Array(buffer) }
    case 'F16':
      return { dtype: 'F32', shape, data: fromHalf(new Uint16Array(buffer)) }
    case 'BF16':
      return { dtype: 'F32', shape, data: fromBrain(new Uint16Array(buffer)) }
    case 'I32':
      return { dtype, shape, data: new Int32Array(buffer) }
    case 'I64':
      return { dtype, shape, data: new BigInt64Array(buffer) }
    default:
      if (dtype === 'BOOL' && bytes.some(b => b > 1))
        throw malformed(path, `'${name}' to hold 0 and 1`, 'other bytes')
      return { dtype: dtype as StoredType, shape, data: bytes }
  }
}

/**
 * Writes named tensors to a safetensors file, atomically. Values may be tfjs tensors (float32, int32, bool) or stored
 * ones. Layouts are written as they are; `Module.stateDict()` gives PyTorch's.
 */
export async function saveSafetensors(
  path: string,
  tensors: Readonly<Record<string, StoredTensor | tf.Tensor>>,
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  const named = Object.entries(tensors).map(([name, t]): [string, StoredTensor] => [name, checked(name, t)])
  // Wider elements first, so that every tensor lies at a multiple of its element's size.
  named.sort(([a, x], [b, y]) => bytesOf[y.dtype] - bytesOf[x.dtype] || (a < b ? -1 : 1))
  const header: Record<string, unknown> = Object.create(null)
  if (Object.keys(metadata).length > 0) header.__metadata__ = metadata
  let at = 0
  for (const [name, { dtype, shape, data }] of named) {
    header[name] = { dtype, shape, data_offsets: [at, at + data.byteLength] }
    at += data.byteLength
  }
  const text = Buffer.from(JSON.stringify(header))
  const head = Buffer.alloc(8 + Math.ceil(text.length / 8) * 8, ' ')
  head.writeBigUInt64LE(BigInt(head.length - 8))
  text.copy(head, 8)
  const parts = named.map(([, { data }]) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
  await writeFileAtomic(path, [head, ...parts])
}

function checked(name: string, tensor: StoredTensor | tf.Tensor): StoredTensor {
  const stored = tensor instanceof tf.Tensor ? fromTensor(tensor) : tensor
  const { dtype, shape, data } = stored
  const fits =
    name !== '__metadata__' && Object.hasOwn(bytesOf, dtype) && data instanceof arraysOf[dtype]
      ? data.length === sizeOf(shape)
      : false
  if (!fits)
    throw new VqShapeError({
      operation: `saveSafetensors: '${name}'`,
      expected: `${sizeOf(shape)} values of type ${Object.keys(bytesOf).join(', ')} for shape [${shape}]`,
      received: `${dtype}, ${describe(data)}`,
      remedy: 'Pass tensors, or { dtype, shape, data } with the array of that type.',
    })
  return stored
}

/** A tfjs tensor's values outside of its backend. float32 → F32, int32 → I32, bool → BOOL. */
export function fromTensor(tensor: tf.Tensor): StoredTensor {
  const types: Record<string, StoredType> = { float32: 'F32', int32: 'I32', bool: 'BOOL' }
  const dtype = types[tensor.dtype]
  if (dtype === undefined)
    throw new VqFormatError({
      operation: 'saveSafetensors',
      expected: 'float32, int32 or bool tensors',
      received: tensor.dtype,
      remedy: 'Cast the tensor first.',
    })
  return { dtype, shape: [...tensor.shape], data: tensor.dataSync() as StoredTensor['data'] }
}

/** A tfjs tensor of stored values: F32 → float32; I32, U8 and I64 → int32; BOOL → bool. Throws where an I64 does not fit. */
export function toTensor({ dtype, shape, data }: StoredTensor): tf.Tensor {
  if (dtype === 'F32') return tf.tensor((data as Float32Array).slice(), shape, 'float32')
  if (dtype === 'BOOL') return tf.tensor((data as Uint8Array).slice(), shape, 'bool')
  if (dtype === 'I32') return tf.tensor((data as Int32Array).slice(), shape, 'int32')
  const values = Int32Array.from(data as ArrayLike<number | bigint>, Number)
  if (dtype === 'I64')
    for (let i = 0; i < values.length; i++)
      if (BigInt(values[i]) !== data[i])
        throw new VqValueError({
          operation: 'toTensor',
          expected: 'I64 values that fit 32 bits',
          received: String(data[i]),
          remedy: 'Read `data` itself, a BigInt64Array.',
        })
  return tf.tensor(values, shape, 'int32')
}
