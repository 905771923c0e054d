import type { ByteSource } from '../byte-source.js'
import { Flaw } from '../pickle/flaw.js'
import { naming } from '../pickle/run.js'
import { PickleStream } from '../pickle/stream.js'
import { PickleGlobal, type PickleValue, PyList, PyTuple, typeName } from '../pickle/values.js'
import { bitsOf, isSize } from '../stored-bytes.js'
import type { TorchFile } from './file.js'
import { remedyFor, torchGlobals } from './globals.js'
import { badLegacy } from './legacy-form.js'
import { checkedTensor } from './rebuild.js'
import { TorchStorage, TorchTensor } from './tensor.js'
import { StorageType, storageNames } from './types.js'

const block = 512
/** More storages or tensors than any model of that time has. */
const mostObjects = 2 ** 16
const mostAxes = 64

/**
 * The form before PyTorch 0.1.10: a tar archive of `storages`, `tensors` and `pickle`, each a sequence of pickles, with raw
 * numbers in between. Source: `torch.serialization`, which still reads it.
 */
export async function readTarForm(source: ByteSource): Promise<TorchFile> {
  const members = await membersOf(source)
  const stream = (name: string): PickleStream => {
    const member = members.get(name)
    if (member === undefined) throw badLegacy(source, `a member '${name}' of the tar archive`, 'none')
    return new PickleStream(source, member.at, member.at + member.size)
  }
  const globals = torchGlobals(source.size)
  for (const name of storageNames) {
    const tensor = name.replace('Storage', 'Tensor')
    globals.set(`torch ${tensor}`, new PickleGlobal(`torch.${tensor}`))
  }
  const options = { globals, refuse: remedyFor }
  const places = new Map<string, Place>()
  const objects = new Map<PickleValue, TorchStorage | TorchTensor>()
  await readStorages(stream('storages'), options, places, objects)
  await readTensors(stream('tensors'), options, objects)
  const persistent = (id: PickleValue): PickleValue => {
    // Versions of Python disagree on which numbers are long, and pickles of text protocols have them as text.
    const found = objects.get(id) ?? objects.get(Number(id))
    if (found === undefined) throw new Flaw('the key of a tensor or storage', typeName(id))
    return found
  }
  const pickle = stream('pickle')
  const value = await pickle.next({ ...options, persistent })
  return {
    value,
    pickled: pickle.end - (members.get('pickle') as Member).at,
    storages: {
      bigEndian: false,
      size: key => (places.get(key) as Place).bytes,
      read: (key, at, length) => source.read((places.get(key) as Place).at + at, length),
    },
  }
}

interface Member {
  at: number
  size: number
}

interface Place {
  at: number
  bytes: number
}

type Options = Parameters<PickleStream['next']>[0]

async function membersOf(source: ByteSource): Promise<Map<string, Member>> {
  const members = new Map<string, Member>()
  for (let at = 0; at + block <= source.size && members.size < 16; ) {
    const head = Buffer.from(await source.read(at, block))
    if (head[0] === 0) break
    const field = (from: number, to: number): string =>
      head.toString('latin1', from, to).replace(/[\0 ].*$/s, '')
    const sum = head.reduce((total, byte, i) => total + (i >= 148 && i < 156 ? 32 : byte), 0)
    if (Number.parseInt(field(148, 156).trim(), 8) !== sum || !/^[0-7]{1,12}$/.test(field(124, 136)))
      throw badLegacy(source, 'headers of a tar archive', `other bytes at ${at}`)
    const size = Number.parseInt(field(124, 136), 8)
    const name = field(0, 100).replace(/^\.\//, '')
    if (at + block + size > source.size)
      throw badLegacy(
        source,
        `'${name}' to lie within the file's ${source.size} bytes`,
        `an end at ${at + block + size}`,
      )
    if (members.has(name)) throw badLegacy(source, 'members with names of their own', `two named '${name}'`)
    members.set(name, { at: at + block, size })
    at += block + Math.ceil(size / block) * block
  }
  return members
}

async function readStorages(
  stream: PickleStream,
  options: Options,
  places: Map<string, Place>,
  objects: Map<PickleValue, TorchStorage | TorchTensor>,
): Promise<void> {
  const { name } = stream.source
  const known = (key: PickleValue, fresh: boolean): void => {
    if (fresh === objects.has(key))
      throw new Flaw(fresh ? 'storages with keys of their own' : 'the key of a storage', typeName(key))
  }
  for (let left = await countIn(stream, options); left > 0; left--) {
    const [key = null, , type = null] = itemsOf(await stream.next(options))
    const count = Number((await stream.raw(8)).getBigInt64(0, true))
    naming(name, () => {
      known(key, true)
      if (!(type instanceof StorageType)) throw new Flaw('the type of a storage', typeName(type))
      const bytes = (count * bitsOf[type.stored]) / 8
      if (!(count >= 0 && stream.at + bytes <= stream.end))
        throw new Flaw(
          `a storage within the ${stream.end - stream.at} bytes that are left`,
          `${count} elements`,
        )
      const id = String(places.size)
      places.set(id, { at: stream.at, bytes })
      objects.set(key, new TorchStorage(id, type.stored, 0, bytes))
      stream.at += bytes
    })
  }
  const views = await stream.next(options)
  naming(name, () => {
    for (const view of itemsOf(views)) {
      const [key = null, rootKey = null, offset = null, length = null] = itemsOf(view)
      known(key, true)
      known(rootKey, false)
      const root = objects.get(rootKey) as TorchStorage
      const width = bitsOf[root.dtype] / 8
      if (!isSize(offset) || !isSize(length) || (offset + length) * width > root.bytes)
        throw new Flaw('a view within its storage', `${typeName(offset)}, ${typeName(length)}`)
      objects.set(key, new TorchStorage(root.key, root.dtype, root.begin + offset * width, length * width))
    }
  })
}

/** Each tensor is a pickle of its key, storage and class; then the number of axes, sizes, strides and offset. */
async function readTensors(
  stream: PickleStream,
  options: Options,
  objects: Map<PickleValue, TorchStorage | TorchTensor>,
): Promise<void> {
  for (let left = await countIn(stream, options); left > 0; left--) {
    const [key = null, storageKey = null] = itemsOf(await stream.next(options))
    // Four bytes, in eight.
    const axes = (await stream.raw(8)).getInt32(0, true)
    if (axes < 0 || axes > mostAxes) throw badLegacy(stream.source, `at most ${mostAxes} axes`, `${axes}`)
    const numbers = await stream.raw(8 * (2 * axes + 1))
    naming(stream.source.name, () => {
      const storage = objects.get(storageKey)
      if (!(storage instanceof TorchStorage) || objects.has(key))
        throw new Flaw(
          'a tensor of its own key, and of a storage',
          `${typeName(key)}, ${typeName(storageKey)}`,
        )
      const values = Array.from({ length: 2 * axes + 1 }, (_, i) => Number(numbers.getBigInt64(8 * i, true)))
      if (!values.every(isSize)) throw new Flaw('sizes, strides and an offset', `[${values}]`)
      const [shape, strides, offset] = [values.slice(0, axes), values.slice(axes, 2 * axes), values[2 * axes]]
      const tensor = new TorchTensor(storage, storage.dtype, offset, shape, strides)
      objects.set(key, checkedTensor(tensor, stream.source.size))
    })
  }
}

async function countIn(stream: PickleStream, options: Options): Promise<number> {
  const count = await stream.next(options)
  if (!isSize(count) || count > mostObjects)
    throw badLegacy(stream.source, `a count of at most ${mostObjects}`, typeName(count))
  return count
}

function itemsOf(value: PickleValue): readonly PickleValue[] {
  return value instanceof PyTuple || value instanceof PyList ? value.items : []
}
