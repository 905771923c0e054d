import { Flaw } from '../pickle/flaw.js'
import { type PickleValue, PyBytes, PyTuple, textOf, typeName } from '../pickle/values.js'
import { bitsOf, isSize } from '../stored-bytes.js'
import { TorchStorage } from './tensor.js'
import { StorageType } from './types.js'

/** The bytes of a checkpoint's storages, wherever its form keeps them. */
export interface StorageReader {
  readonly bigEndian: boolean
  /** Bytes of the storage of that key. */
  size(key: string): number
  /** Part of a storage, verified where the form has checksums. */
  read(key: string, at: number, length: number): Promise<Uint8Array<ArrayBuffer>>
}

/** A storage as the pickle names it. */
export interface NamedStorage {
  /** Bytes that it is claimed to have. */
  bytes: number
  /** Bytes of one of its elements. */
  width: number
}

/**
 * What persistent ids mean: `('storage', type, key, location, count)`, in the legacy form with a view as well. Each key is
 * noted in `named`. Where a tensor was (`cuda:0`, `mps`) makes no difference.
 */
export function storageIds(named: Map<string, NamedStorage>): (id: PickleValue) => TorchStorage {
  return id => {
    const items = id instanceof PyTuple ? id.items : []
    const [kind, type, key, location, count, view = null] = items.map(asText)
    if (kind === 'module')
      throw new Flaw(
        'tensors and containers',
        'a whole module',
        'Save `model.state_dict()` instead of the module.',
      )
    if (
      kind !== 'storage' ||
      !(type instanceof StorageType) ||
      typeof location !== 'string' ||
      items.length > 6
    )
      throw new Flaw('the type, key, place and length of a storage', typeName(id))
    if (location === 'meta')
      throw new Flaw('tensors with values', 'one on the meta device', 'Save it from a real device.')
    if (typeof key !== 'string' && typeof key !== 'number')
      throw new Flaw('the key of a storage', typeName(key))
    const width = bitsOf[type.stored] / 8
    const name = String(key)
    if (!isSize(count) || !Number.isSafeInteger(count * width))
      throw new Flaw('the length of a storage', typeName(count))
    const known = named.get(name)
    const bytes = count * width
    if (known === undefined) named.set(name, { bytes, width })
    else if (known.bytes !== bytes)
      throw new Flaw(
        `storage '${name.slice(0, 80)}' to have ${known.bytes} bytes wherever it is named`,
        `${bytes}`,
      )
    if (view === null) return new TorchStorage(name, type.stored, 0, bytes)
    const [viewKey, offset, length] = view instanceof PyTuple ? view.items : []
    if (viewKey === undefined || !isSize(offset) || !isSize(length) || offset + length > count)
      throw new Flaw(`a view within the ${count} elements of its storage`, typeName(view))
    return new TorchStorage(name, type.stored, offset * width, length * width)
  }
}

function asText(value: PickleValue): PickleValue {
  return value instanceof PyBytes && value.kind === 'str' ? textOf(value) : value
}
