import * as tf from '@tensorflow/tfjs-core'
import { expectConfig, expectOneOf } from '../check.js'
import { VqShapeError } from '../errors.js'
import { largestHeader, safetensorsTypes, shapeText } from './safetensors-header.js'
import { bytesOf, checkStored, encodeValues, widens } from './stored-bytes.js'
import {
  isFloat,
  type StoredTensor,
  type StoredType,
  type TensorEntry,
  type TensorFile,
} from './stored-tensor.js'
import { fromTensor } from './tfjs-tensors.js'

/** A tensor that is read when its turn to be written comes. */
export interface LazyTensor extends TensorEntry {
  read(): Promise<StoredTensor>
}

/** What can be saved: tensors by name, or an open file. */
export type TensorSource = Readonly<Record<string, StoredTensor | LazyTensor | tf.Tensor>> | TensorFile

/** Types that all floats of a file can be stored as. */
export type FloatType = Exclude<StoredType, 'BOOL' | `${'U' | 'I'}${number}` | `C${number}`>

export interface SaveOptions {
  /** Stores all floats as this type, rounded to the nearest, ties to even, as PyTorch does. Default: each as it is. */
  floats?: FloatType
}

/** A tensor to be written: its type, shape and size on disk, and where its values come from. */
export interface Planned extends TensorEntry {
  name: string
  bytes: number
  read: () => StoredTensor | Promise<StoredTensor>
}

const floatTypes = safetensorsTypes.filter(isFloat) as FloatType[]

export function isTensorFile(source: TensorSource): source is TensorFile {
  return source?.entries instanceof Map && typeof source.read === 'function'
}

/** Checks what is to be saved as far as can be without reading it, in the order given. */
export function plan(operation: string, source: TensorSource, { floats }: SaveOptions): Planned[] {
  expectConfig(
    typeof source === 'object' && source !== null,
    operation,
    'tensors by name, or an open file',
    source,
    'Pass an object of tensors, such as `module.stateDict()`.',
  )
  if (floats !== undefined) expectOneOf(operation, 'floats', floats, floatTypes)
  const lazies: [string, StoredTensor | LazyTensor | tf.Tensor][] = isTensorFile(source)
    ? [...source.entries].map(([name, entry]) => [name, { ...entry, read: () => source.read(name) }])
    : Object.entries(source)
  return lazies.map(([name, value]) => {
    expectConfig(
      name !== '__metadata__' && !/\p{Surrogate}/u.test(name),
      operation,
      'names other than __metadata__, without unpaired surrogates',
      name,
      'Rename the tensor.',
    )
    const of = `${operation}: '${name}'`
    const tensor = value instanceof tf.Tensor ? fromTensor(value) : value
    if (!isLazy(tensor)) {
      checkStored(of, tensor)
      return planned(of, name, tensor, floats, () => tensor)
    }
    const { dtype, shape } = tensor
    return planned(of, name, { dtype, shape: [...shape] }, floats, async () => {
      const stored = await tensor.read()
      checkStored(of, stored)
      if (stored.dtype !== dtype || `${stored.shape}` !== `${shape}`)
        throw new VqShapeError({
          operation: of,
          expected: `${dtype} of shape [${shape}], as its entry says`,
          received: `${stored.dtype} of shape [${stored.shape}]`,
          remedy: 'Let `read` give what `dtype` and `shape` announce.',
        })
      return stored
    })
  })
}

function isLazy(tensor: StoredTensor | LazyTensor): tensor is LazyTensor {
  return typeof (tensor as LazyTensor | null)?.read === 'function' && Array.isArray(tensor.shape)
}

function planned(
  operation: string,
  name: string,
  { dtype: own, shape }: TensorEntry,
  floats: FloatType | undefined,
  read: Planned['read'],
): Planned {
  const dtype = floats !== undefined && isFloat(own) ? floats : own
  expectOneOf(operation, 'dtype', dtype, safetensorsTypes)
  const bytes = bytesOf(dtype, shape)
  if (Number.isNaN(bytes))
    throw new VqShapeError({
      operation,
      expected: `${dtype} values that fill whole bytes`,
      received: `shape [${shapeText(shape)}]`,
      remedy: 'Store it as a type of 8 bits or more.',
    })
  return { name, dtype, shape, bytes, read }
}

/** Sorts as the format's own writer does: wider types first, so that values lie at multiples of their size, then by name. */
export function inFileOrder(tensors: readonly Planned[]): Planned[] {
  const places = new Map(safetensorsTypes.map((dtype, i) => [dtype, i]))
  const keys = new Map(tensors.map(tensor => [tensor, Buffer.from(tensor.name)]))
  return [...tensors].sort(
    (a, b) => places.get(b.dtype)! - places.get(a.dtype)! || Buffer.compare(keys.get(a)!, keys.get(b)!),
  )
}

/** The parts of a file, of which only one is in memory at a time unless the tensors already are. */
export function fileParts(
  operation: string,
  tensors: readonly Planned[],
  metadata: Readonly<Record<string, string>>,
): AsyncIterable<Uint8Array> {
  expectConfig(
    Object.entries(metadata).every(pair =>
      pair.every(v => typeof v === 'string' && !/\p{Surrogate}/u.test(v)),
    ),
    operation,
    'metadata of strings without unpaired surrogates',
    metadata,
    'Write other values as JSON.',
  )
  const ordered = inFileOrder(tensors)
  const fields: string[] = []
  if (Object.keys(metadata).length > 0) fields.push(`"__metadata__":${JSON.stringify(metadata)}`)
  let at = 0
  for (const { name, dtype, shape, bytes } of ordered) {
    fields.push(`${JSON.stringify(name)}:${JSON.stringify({ dtype, shape, data_offsets: [at, at + bytes] })}`)
    at += bytes
  }
  const text = Buffer.from(`{${fields.join(',')}}`)
  const head = Buffer.alloc(8 + Math.ceil(text.length / 8) * 8, ' ')
  expectConfig(
    head.length - 8 <= largestHeader,
    operation,
    `a header of at most ${largestHeader} bytes`,
    head,
    'Save fewer tensors, or shards.',
  )
  head.writeBigUInt64LE(BigInt(head.length - 8))
  text.copy(head, 8)
  return parts(operation, head, ordered)
}

const chunk = 1 << 20

async function* parts(
  operation: string,
  head: Uint8Array,
  tensors: readonly Planned[],
): AsyncGenerator<Uint8Array> {
  yield head
  for (const { name, dtype, read } of tensors) {
    const of = `${operation}: '${name}'`
    const { data, dtype: own } = await read()
    if (dtype === own && data.BYTES_PER_ELEMENT * data.length > 0 && !widens(dtype))
      yield encodeValues(dtype, data, of)
    else
      for (let i = 0; i < data.length; i += chunk) yield encodeValues(dtype, data.subarray(i, i + chunk), of)
  }
}
