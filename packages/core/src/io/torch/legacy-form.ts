import { VqFormatError } from '../../errors.js'
import type { ByteSource } from '../byte-source.js'
import type { PickleOptions } from '../pickle/machine.js'
import { type Pickled, runPickle, VqCutError } from '../pickle/run.js'
import { type PickleValue, PyBytes, PyList, textOf } from '../pickle/values.js'
import type { TorchFile } from './file.js'
import { remedyFor, torchGlobals } from './globals.js'
import { type NamedStorage, storageIds } from './storages.js'

const magic = 0x1950a86a20f9469cfc6cn
const protocol = 1001
/** The most of a file that is taken for its pickles; tensors are no part of them. */
const mostPickled = 2 ** 29

/**
 * The form before PyTorch 1.6: a magic number, the protocol, facts about the machine, the object and the keys of its storages as
 * five pickles, then each storage as a count of elements in eight bytes and the elements, little-endian whatever the machine.
 */
export async function readLegacyForm(source: ByteSource): Promise<TorchFile> {
  const named = new Map<string, NamedStorage>()
  const { pickles, end } = await readPickles(source, named)
  const [number, version, , value, keys] = pickles
  if (number !== magic)
    throw badLegacy(
      source,
      "PyTorch's magic number",
      'another value',
      'This was not written by torch.save; `loadPickle` reads plain pickles.',
    )
  if (version !== protocol) throw badLegacy(source, `protocol ${protocol}`, String(version))
  const places = await locate(source, end, keysOf(keys, source), named)
  return {
    value,
    pickled: end,
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
  remedy?: string,
): VqFormatError {
  return new VqFormatError({
    operation: `reading ${source.name} as a PyTorch checkpoint`,
    expected,
    received,
    remedy: remedy ?? 'The file is damaged or incomplete: fetch or save it again.',
  })
}

/** The pickles at the start, whose length nothing tells: a first part of the file is tried, then one twice as long. */
async function readPickles(
  source: ByteSource,
  named: Map<string, NamedStorage>,
): Promise<{ pickles: PickleValue[]; end: number }> {
  const tensors = { globals: torchGlobals(source.size), persistent: storageIds(named), refuse: remedyFor }
  const plain: PickleOptions = { globals: new Map(), refuse: remedyFor }
  for (let length = 1 << 20; ; length *= 2) {
    const bytes = await source.read(0, Math.min(length, source.size, mostPickled))
    const pickles: PickleValue[] = []
    let end = 0
    named.clear()
    try {
      for (const options of [plain, plain, plain, tensors, plain]) {
        const pickled: Pickled = runPickle(bytes, source.name, options, end)
        if (pickles.length === 0 && pickled.value !== magic) return { pickles: [pickled.value], end: 0 }
        pickles.push(pickled.value)
        end = pickled.end
      }
      return { pickles, end }
    } catch (error) {
      if (!(error instanceof VqCutError) || bytes.length < length) throw error
    }
  }
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
