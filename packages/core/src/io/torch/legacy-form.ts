import type { VqFormatError } from '../../errors.js'
import type { ByteSource } from '../byte-source.js'
import { badFile } from '../file-bytes.js'
import type { PickleOptions } from '../pickle/machine.js'
import { PickleStream } from '../pickle/stream.js'
import { type PickleValue, PyBytes, PyList, textOf, typeName } from '../pickle/values.js'
import type { TorchFile } from './file.js'
import { remedyFor, torchGlobals } from './globals.js'
import { type NamedStorage, storageIds } from './storages.js'

const magic = 0x1950a86a20f9469cfc6cn
const protocol = 1001

/**
 * The form before PyTorch 1.6: a magic number, the protocol, facts about the machine, the object and the keys of its storages as
 * five pickles, then each storage as a count of elements in eight bytes and the elements, little-endian whatever the machine.
 */
export async function readLegacyForm(source: ByteSource): Promise<TorchFile> {
  const stream = new PickleStream(source, 0, source.size)
  const plain: PickleOptions = { globals: new Map(), refuse: remedyFor }
  const other =
    'Save with `torch.save`, not `pickle.dump`; `loadPickle` reads plain pickles of values and NumPy arrays.'
  if ((await stream.next({ ...plain, refuse: () => other })) !== magic)
    throw badLegacy(source, "PyTorch's magic number", 'another value', other)
  const version = await stream.next(plain)
  if (version !== protocol) throw badLegacy(source, `protocol ${protocol}`, typeName(version))
  await stream.next(plain)
  const named = new Map<string, NamedStorage>()
  const globals = torchGlobals(source.size)
  const before = stream.at
  const value = await stream.next({ globals, persistent: storageIds(named), refuse: remedyFor })
  const pickled = stream.at - before
  const keys = keysOf(await stream.next(plain), source)
  const places = await locate(source, stream.at, keys, named)
  return {
    value,
    pickled,
    storages: {
      bigEndian: false,
      size: key => (named.get(key) as NamedStorage).bytes,
      read: (key, at, length) => source.read((places.get(key) as number) + at, length),
    },
  }
}

export function badLegacy(
  source: ByteSource,
  expected: string,
  received: string,
  remedy = 'The file is damaged or incomplete: fetch or save it again.',
): VqFormatError {
  return badFile(source.name, 'a PyTorch checkpoint', expected, received, remedy)
}

function keysOf(value: PickleValue, source: ByteSource): string[] {
  const items = value instanceof PyList ? value.items : []
  const keys = items.map(key => (key instanceof PyBytes && key.kind === 'str' ? textOf(key) : key))
  if (!(value instanceof PyList) || !keys.every(key => typeof key === 'string' || typeof key === 'number'))
    throw badLegacy(source, 'a list of the keys of storages', 'another value')
  return keys.map(String)
}

/** Where each storage begins. Their lengths must be those that the tensors were told. */
async function locate(
  source: ByteSource,
  from: number,
  keys: readonly string[],
  named: ReadonlyMap<string, NamedStorage>,
): Promise<Map<string, number>> {
  const places = new Map<string, number>()
  let at = from
  for (const key of keys) {
    const storage = named.get(key)
    if (storage === undefined || places.has(key))
      throw badLegacy(source, 'each storage once, and used by a tensor', `key '${key.slice(0, 80)}'`)
    const count = new DataView((await source.read(at, 8)).buffer).getBigInt64(0, true)
    if (count * BigInt(storage.width) !== BigInt(storage.bytes))
      throw badLegacy(
        source,
        `storage '${key.slice(0, 80)}' to have ${storage.bytes / storage.width} elements`,
        String(count),
      )
    at += 8
    places.set(key, at)
    if (at + storage.bytes > source.size)
      throw badLegacy(source, `${storage.bytes} bytes of storage at ${at}`, `a file of ${source.size} bytes`)
    at += storage.bytes
  }
  for (const key of named.keys())
    if (!places.has(key)) throw badLegacy(source, `values for storage '${key.slice(0, 80)}'`, 'none')
  return places
}
