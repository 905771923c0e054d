import { Flaw } from './flaw.js'
import { cost } from './machine.js'
import {
  type Globals,
  PickleGlobal,
  PickleObject,
  type PickleValue,
  PyBytes,
  PyDict,
  PyList,
  PySet,
  PyTuple,
  type Spend,
  typeName,
} from './values.js'

/** A complex number: `{ real, imag }`. */
export class PyComplex extends PickleObject {
  readonly type = 'complex'
  override readonly hashable = true
  readonly real: number
  readonly imag: number

  constructor(real: number, imag: number) {
    super()
    this.real = real
    this.imag = imag
  }

  plain(): { real: number; imag: number } {
    return { real: this.real, imag: this.imag }
  }
}

class PySlice extends PickleObject {
  readonly type = 'slice'
  readonly #parts: readonly PickleValue[]

  constructor(parts: readonly PickleValue[]) {
    super()
    this.#parts = parts
  }

  plain(): Record<string, unknown> {
    const [start, stop, step] = this.#parts
    return { start, stop, step }
  }
}

/** Throws for arguments that a constructor does not take. */
export function unfit(name: string, args: Args): Flaw {
  return new Flaw(`arguments that ${name} takes`, `(${args.slice(0, 8).map(typeName).join(', ')})`)
}

type Args = readonly PickleValue[]

/** The items that a constructor copies, each of which takes so many units. */
function itemsOf(name: string, args: Args, spend: Spend, each: number): Iterable<PickleValue> {
  const [items] = args
  if (args.length === 0) return []
  if (args.length !== 1) throw unfit(name, args)
  if (items instanceof PySet) spend(each * items.items.size)
  else if (items instanceof PyList || items instanceof PyTuple) spend(each * items.items.length)
  else throw unfit(name, args)
  return items.items
}

function dictionary(name: string, args: Args, spend: Spend): PyDict {
  const dict = new PyDict()
  spend(cost.table)
  if (args.length === 1 && args[0] instanceof PyDict) {
    spend(cost.entry * args[0].entries.size)
    for (const [key, value] of args[0].entries) dict.set(key, value)
    return dict
  }
  for (const pair of itemsOf(name, args, spend, cost.entry)) {
    if (!(pair instanceof PyTuple || pair instanceof PyList) || pair.items.length !== 2)
      throw unfit(name, args)
    dict.set(pair.items[0], pair.items[1])
  }
  return dict
}

// A factory makes values for keys that are missing, which data has no use for.
function defaultDictionary(args: Args, spend: Spend): PyDict {
  const [factory = null, ...rest] = args
  if (factory !== null && !(factory instanceof PickleGlobal)) throw unfit('defaultdict', args)
  return dictionary('defaultdict', rest, spend)
}

function list(name: string, args: Args, spend: Spend): PyList {
  const made = new PyList()
  for (const item of itemsOf(name, args, spend, 1)) made.items.push(item)
  return made
}

function set(name: string, args: Args, spend: Spend): PySet {
  const made = new PySet()
  spend(cost.table)
  for (const item of itemsOf(name, args, spend, cost.entry)) made.add(item)
  return made
}

/** `_codecs.encode(text, 'latin1')`: how protocols 0 to 2 write bytes. */
function encode(name: string, kind: 'bytes' | 'bytearray', args: Args, spend: Spend): PyBytes {
  const [text, encoding] = args
  if (text instanceof PyBytes || typeof text === 'string') spend(text.length >> 4)
  if (args.length === 0) return new PyBytes(new Uint8Array(0), kind)
  if (args.length === 1 && text instanceof PyBytes) return new PyBytes(text.bytes.slice(), kind)
  if (args.length !== 2 || typeof text !== 'string' || !/^(latin-?1|iso-?8859-?1)$/i.test(String(encoding)))
    throw unfit(name, args)
  for (let i = 0; i < text.length; i++)
    if (text.charCodeAt(i) > 255)
      throw new Flaw('bytes as Latin-1 text', `a character of code ${text.charCodeAt(i)}`)
  const bytes = Buffer.from(text, 'latin1')
  return new PyBytes(new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length), kind)
}

function complex(args: Args): PyComplex {
  const [real, imag] = args
  if (args.length !== 2 || typeof real !== 'number' || typeof imag !== 'number') throw unfit('complex', args)
  return new PyComplex(real, imag)
}

function slice(args: Args): PySlice {
  const plain = args.every(a => a === null || typeof a === 'number' || typeof a === 'bigint')
  if (args.length !== 3 || !plain) throw unfit('slice', args)
  return new PySlice(args)
}

const made: Record<string, (args: Args, spend: Spend) => PickleValue> = {
  set: (args, spend) => set('set', args, spend),
  frozenset: (args, spend) => set('frozenset', args, spend),
  list: (args, spend) => list('list', args, spend),
  dict: (args, spend) => dictionary('dict', args, spend),
  tuple: (args, spend) => new PyTuple([...itemsOf('tuple', args, spend, 1)]),
  bytes: (args, spend) => encode('bytes', 'bytes', args, spend),
  bytearray: (args, spend) => encode('bytearray', 'bytearray', args, spend),
  complex,
  slice,
}

/** Python's containers and numbers. `builtins` is `__builtin__` in Python 2 and in protocols below 3. */
export const builtins: Globals = new Map(
  [
    ...['builtins', '__builtin__'].flatMap(module => [
      ...Object.entries(made).map(([name, make]) => [module, name, make] as const),
      ...['int', 'float', 'str', 'bool', 'long', 'unicode'].map(name => [module, name, undefined] as const),
    ]),
    [
      'collections',
      'OrderedDict',
      (args: Args, spend: Spend) => dictionary('OrderedDict', args, spend),
    ] as const,
    ['collections', 'Counter', (args: Args, spend: Spend) => dictionary('Counter', args, spend)] as const,
    ['collections', 'defaultdict', defaultDictionary] as const,
    ['_codecs', 'encode', (args: Args, spend: Spend) => encode('encode', 'bytes', args, spend)] as const,
  ].map(([module, name, make]) => [
    `${module} ${name}`,
    new PickleGlobal(`${module.replace('__builtin__', 'builtins')}.${name}`, make),
  ]),
)
