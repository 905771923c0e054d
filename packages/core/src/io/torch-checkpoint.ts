import { expectConfig } from '../check.js'
import { VqConfigError } from '../errors.js'
import { type ByteSource, openSource } from './byte-source.js'
import { naming } from './pickle/run.js'
import { mostOf, thaw } from './pickle/thaw.js'
import type { StateDict, StoredTensor, TensorFile } from './stored-tensor.js'
import type { TorchFile } from './torch/file.js'
import { flatten, subtree } from './torch/flatten.js'
import { badLegacy, readLegacyForm } from './torch/legacy-form.js'
import { readTarForm } from './torch/tar-form.js'
import { TorchStorage, TorchTensor, wholeOf } from './torch/tensor.js'
import { readTensor, readTensors } from './torch/values.js'
import { readZipForm } from './torch/zip-form.js'

export interface TorchCheckpoint {
  /**
   * The tree as it was saved: null-prototype objects (a Map where not all keys are strings), arrays for lists and tuples, Set,
   * numbers (bigint beyond 2^53), strings, booleans, null, Uint8Array for bytes, and tensors.
   */
  value: unknown
  /** Every tensor in it, by dotted path. */
  tensors: StateDict
}

export interface TorchOptions {
  /** Path of the part to read, such as 'model' or 'state_dict'. Default: all. */
  prefix?: string | undefined
  /** Most bytes that compressed members may unpack to. Default: 256 MiB, or 100 times their packed size. */
  maxBytes?: number | undefined
}

/**
 * Reads a PyTorch checkpoint, `.pth` or `.pt`, of any version: zip, legacy or tar. Nothing in it is executed: its pickle is read by a
 * parser that knows tensors, parameters, containers, numbers, strings, and NumPy arrays and scalars, and refuses everything else by
 * name. Tensors may be views of any strides, and come out row-major; tensors that are the same view share one array.
 * Tensors of a GPU load as data. Sparse, quantized, nested, meta and complex32 tensors, pickled modules and TorchScript are refused.
 * Throws VqFormatError, also for files that are damaged or made to exhaust memory; VqConfigError for a prefix that is not there.
 */
export async function loadTorchCheckpoint(
  path: string,
  options: TorchOptions = {},
): Promise<TorchCheckpoint> {
  const source = await openSource(path, 'a PyTorch checkpoint')
  try {
    return await readTorchCheckpoint(source, options)
  } finally {
    await source.close()
  }
}

async function readTorchCheckpoint(source: ByteSource, options: TorchOptions): Promise<TorchCheckpoint> {
  const { value, named, lazy, file } = await readTree(source, options)
  const wanted = [...new Set(named.values())]
  const tensors = wanted.map(stub => lazy.get(stub)).filter(tensor => tensor !== undefined)
  const values = await readTensors(tensors, file.storages, source)
  for (const stub of wanted) {
    const tensor = lazy.get(stub)
    if (tensor !== undefined) stub.data = values.get(tensor) as StoredTensor['data']
  }
  return { value, tensors: Object.assign(Object.create(null), Object.fromEntries(named)) }
}

/**
 * Opens a PyTorch checkpoint to read one tensor at a time: memory is bounded by its pickle and the tensor. `prefix: 'model'` picks
 * a part of `{ model, optimizer, epoch }`, so that `loadWeights` can read from it. Throws as `loadTorchCheckpoint` does.
 */
export async function openTorchCheckpoint(path: string, options: TorchOptions = {}): Promise<TensorFile> {
  const source = await openSource(path, 'a PyTorch checkpoint')
  try {
    const { named, lazy, file } = await readTree(source, options)
    return {
      entries: new Map([...named].map(([name, { dtype, shape }]) => [name, { dtype, shape: [...shape] }])),
      metadata: Object.create(null),
      async read(name) {
        const stub = named.get(name)
        if (stub === undefined) throw absent(path, name)
        const { dtype, shape } = stub
        const tensor = lazy.get(stub)
        const data = tensor ? await readTensor(tensor, file.storages, source) : stub.data.slice()
        return { dtype, shape: [...shape], data }
      },
      close: () => source.close(),
    }
  } catch (error) {
    await source.close()
    throw error
  }
}

interface Tree {
  value: unknown
  /** Stored tensors by path; those of PyTorch lack their data yet. */
  named: Map<string, StoredTensor>
  lazy: ReadonlyMap<StoredTensor, TorchTensor>
  file: TorchFile
}

async function readTree(source: ByteSource, { prefix, maxBytes }: TorchOptions): Promise<Tree> {
  const operation = `reading ${source.name}`
  if (prefix !== undefined)
    expectConfig(
      typeof prefix === 'string',
      operation,
      'prefix to be a path in the file',
      prefix,
      'Pass a string.',
    )
  const file = await readForm(source, maxBytes)
  const lazy = new Map<StoredTensor, TorchTensor>()
  const arrays = new Set<object>()
  return naming(source.name, () => {
    const root = thaw(file.value, mostOf(file.pickled), object => {
      const tensor = object instanceof TorchStorage ? wholeOf(object) : object
      if (!(tensor instanceof TorchTensor)) {
        const plain = object.plain()
        if (typeof plain === 'object' && plain !== null && 'dtype' in plain) arrays.add(plain)
        return plain
      }
      const stub = { dtype: tensor.dtype, shape: [...tensor.shape] } as StoredTensor
      lazy.set(stub, tensor)
      return stub
    })
    const value = prefix === undefined || prefix === '' ? root : subtree(root, prefix, operation)
    const isTensor = (node: object): boolean => lazy.has(node as StoredTensor) || arrays.has(node)
    return { value, named: flatten(value, isTensor), lazy, file }
  })
}

async function readForm(source: ByteSource, maxBytes: number | undefined): Promise<TorchFile> {
  const start = Buffer.from(await source.read(0, Math.min(source.size, 512)))
  if (start.toString('latin1', 0, 4) === 'PK\x03\x04') return readZipForm(source, { maxBytes })
  if (start.toString('latin1', 257, 262) === 'ustar') return readTarForm(source)
  // Protocols 2 and up begin with an opcode of their own, 0 and 1 with the magic number as a long integer.
  if (start[0] === 0x80 || start.toString('latin1', 0, 25) === 'L119547037146038801333356')
    return readLegacyForm(source)
  throw badLegacy(
    source,
    'a zip archive, or pickles that begin with a magic number',
    `a file that begins with ${start.toString('hex', 0, 8)}`,
  )
}

function absent(path: string, name: string): VqConfigError {
  return new VqConfigError({
    operation: `reading ${path}`,
    expected: 'the name of a tensor in it',
    received: `'${name}'`,
    remedy: 'Names are the keys of `entries`.',
  })
}
