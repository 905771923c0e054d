import { Flaw } from './flaw.js'

/** What a pickle builds while it is read. Lists, dictionaries and sets are shared by identity, as in Python. */
export type PickleValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | PyBytes
  | PyTuple
  | PyList
  | PyDict
  | PySet
  | PickleGlobal
  | PickleObject

/** What may be shared, and remembers what it became in the result. */
abstract class Shared {
  /** Values in it, were all that is shared written out: 0 before it is known, -1 while it is being found. */
  weight = 0
  thawed: unknown
}

/** `bytes`, `bytearray`, and Python 2's `str`, which becomes a string where it is UTF-8. */
export class PyBytes extends Shared {
  readonly kind: 'bytes' | 'bytearray' | 'str'
  readonly length: number
  readonly #of: Uint8Array
  readonly #at: number

  /** `length` bytes of an array, which are not copied: all of it unless told otherwise. */
  constructor(of: Uint8Array, kind: PyBytes['kind'], at = 0, length: number = of.length) {
    super()
    this.kind = kind
    this.length = length
    this.#of = of
    this.#at = at
  }

  // Made when asked for: a view takes more memory than most strings.
  get bytes(): Uint8Array {
    return this.#of.subarray(this.#at, this.#at + this.length)
  }
}

export class PyTuple extends Shared {
  readonly items: readonly PickleValue[]
  readonly hashable: boolean

  constructor(items: readonly PickleValue[]) {
    super()
    this.items = items
    this.hashable = items.every(isHashable)
  }
}

export class PyList extends Shared {
  items: PickleValue[] = []
}

const noEntries: ReadonlyMap<PickleValue, PickleValue> = new Map()
const noItems: ReadonlySet<PickleValue> = new Set()

/** A dictionary of any class. Keys keep the order in which they first came. */
export class PyDict extends Shared {
  #entries: Map<PickleValue, PickleValue> | undefined

  // An empty Map takes as much memory as ten empty lists.
  get entries(): ReadonlyMap<PickleValue, PickleValue> {
    return this.#entries ?? noEntries
  }

  set(key: PickleValue, value: PickleValue): void {
    this.#entries ??= new Map()
    this.#entries.set(asKey(key), value)
  }
}

export class PySet extends Shared {
  #items: Set<PickleValue> | undefined

  get items(): ReadonlySet<PickleValue> {
    return this.#items ?? noItems
  }

  add(item: PickleValue): void {
    this.#items ??= new Set()
    this.#items.add(asKey(item))
  }
}

/** What a global of an allowlist made: a tensor, an array, a type of elements. */
export abstract class PickleObject extends Shared {
  /** Python's name of its class, for errors. */
  abstract readonly type: string
  /** Whether it may be a key. */
  readonly hashable: boolean = false
  /** What stands for it in the result. */
  abstract plain(): unknown
  /** BUILD. */
  setState(_state: PickleValue): void {
    throw new Flaw(`no state for a ${this.type}`, 'a BUILD opcode')
  }
}

/** Counts what stays in memory, in units of 16 bytes; throws where a pickle has no more left. */
export type Spend = (units: number) => void

type Make = (args: readonly PickleValue[], spend: Spend) => PickleValue

/** A name that an allowlist has. Nothing of Python's is behind it: calls go to functions of ours. */
export class PickleGlobal {
  readonly name: string
  /** What REDUCE and NEWOBJ make; absent where the name may only be mentioned. */
  readonly make: Make | undefined

  constructor(name: string, make?: Make) {
    this.name = name
    this.make = make
  }
}

/** By module and name with a space in between, as pickles write them: `'collections OrderedDict'`. */
export type Globals = ReadonlyMap<string, PickleGlobal>

export function isHashable(value: PickleValue): boolean {
  if (value instanceof PyTuple || value instanceof PickleObject) return value.hashable
  if (value instanceof PyBytes) return value.kind !== 'bytearray'
  return !(value instanceof PyList || value instanceof PyDict || value instanceof PySet)
}

function asKey(value: PickleValue): PickleValue {
  if (!isHashable(value)) throw new Flaw('keys and elements of sets that do not change', typeName(value))
  return value instanceof PyBytes && value.kind === 'str' ? textOf(value) : value
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

export function decodeUtf8(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes)
  } catch {
    throw new Flaw('text in UTF-8', 'other bytes')
  }
}

/** Python 2's `str` as text: UTF-8, or else Latin-1. */
export function textOf({ bytes }: PyBytes): string {
  try {
    return utf8.decode(bytes)
  } catch {
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1')
  }
}

/** How errors name a value. */
export function typeName(value: PickleValue): string {
  if (value === null) return 'None'
  if (value instanceof PyTuple) return `a tuple of ${value.items.length}`
  if (value instanceof PyList) return 'a list'
  if (value instanceof PyDict) return 'a dictionary'
  if (value instanceof PySet) return 'a set'
  if (value instanceof PyBytes) return `${value.kind} of length ${value.length}`
  if (value instanceof PickleGlobal) return `the name ${value.name}`
  if (value instanceof PickleObject) return `a ${value.type}`
  return typeof value === 'string' ? JSON.stringify(value.slice(0, 80)) : `the ${typeof value} ${value}`
}
