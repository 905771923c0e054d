import { Flaw } from './flaw.js'
import { decimal, little, realNumber, unescapeRaw, unquote } from './literals.js'
import { cost, type Machine } from './machine.js'
import {
  decodeUtf8,
  PickleGlobal,
  PickleObject,
  type PickleValue,
  PyBytes,
  PyDict,
  PyList,
  PySet,
  PyTuple,
  typeName,
} from './values.js'

type Step = (m: Machine) => void

/** Longest line of text; strings of JavaScript end at 2^29. */
const longest = 2 ** 28

const utf8 = (m: Machine, length: number): void => {
  m.spend(2 + (length >> 4))
  m.push(decodeUtf8(m.take(length)))
}
// Bytes stay where they are, in the pickle; the result has a copy.
const bytes = (m: Machine, length: number, kind: PyBytes['kind']): void => {
  m.spend((kind === 'str' ? cost.text : cost.bytes) + (length >> 4))
  m.push(new PyBytes(m.bytes, kind, m.advance(length), length))
}
const noItems = new PyTuple([])
const tuple = (m: Machine, items: PickleValue[]): void => {
  m.spend(items.length > 0 ? cost.tuple + items.length : 2)
  m.push(items.length > 0 ? new PyTuple(items) : noItems)
}
const fresh = (m: Machine, value: PyList | PyDict | PySet): void => {
  m.spend(value instanceof PyList ? cost.list : cost.table)
  m.push(value)
}

/** The opcodes of protocols 0 to 5 that data needs, by code. What is not here is refused: among it INST, OBJ, EXT1 and NEXT_BUFFER. */
export const opcodes: ReadonlyMap<number, Step> = new Map<number, Step>(
  Object.entries({
    '(': m => m.mark(),
    '0': m => m.drop(),
    '1': m => void m.popMark(),
    '2': m => m.push(m.top()),
    N: m => m.push(null),
    '\x88': m => m.push(true),
    '\x89': m => m.push(false),
    // Numbers.
    I: m => {
      const text = m.line(4300)
      m.push(text === '01' ? true : text === '00' ? false : decimal(text))
    },
    L: m => m.push(decimal(m.line(4301).replace(/L$/, ''))),
    J: m => m.push(m.int32()),
    K: m => m.push(m.byte()),
    M: m => m.push(m.uint16()),
    '\x8a': m => m.push(little(m.take(m.byte()))),
    '\x8b': m => m.push(little(m.take(m.uint32()))),
    F: m => m.push(realNumber(m.line(400))),
    G: m => m.push(m.float64()),
    // Strings and bytes.
    S: m => {
      const quoted = unquote(m.line(longest))
      m.spend(cost.bytes + (quoted.length >> 4))
      m.push(new PyBytes(quoted, 'str'))
    },
    T: m => bytes(m, m.uint32(), 'str'),
    U: m => bytes(m, m.byte(), 'str'),
    V: m => {
      const text = unescapeRaw(m.line(longest))
      m.spend(2 + (text.length >> 4))
      m.push(text)
    },
    X: m => utf8(m, m.uint32()),
    '\x8c': m => utf8(m, m.byte()),
    '\x8d': m => utf8(m, m.uint64()),
    B: m => bytes(m, m.uint32(), 'bytes'),
    C: m => bytes(m, m.byte(), 'bytes'),
    '\x8e': m => bytes(m, m.uint64(), 'bytes'),
    '\x96': m => bytes(m, m.uint64(), 'bytearray'),
    // Containers.
    ')': m => tuple(m, []),
    t: m => tuple(m, m.popMark()),
    '\x85': m => tuple(m, [m.pop()]),
    '\x86': m => tuple(m, [m.pop(), m.pop()].reverse()),
    '\x87': m => tuple(m, [m.pop(), m.pop(), m.pop()].reverse()),
    ']': m => fresh(m, new PyList()),
    '}': m => fresh(m, new PyDict()),
    '\x8f': m => fresh(m, new PySet()),
    l: m => {
      const items = m.popMark()
      fresh(m, new PyList())
      append(m, items)
    },
    d: m => {
      const items = m.popMark()
      fresh(m, new PyDict())
      setItems(m, items)
    },
    '\x91': m => {
      const items = m.popMark()
      fresh(m, new PySet())
      addItems(m, items)
    },
    a: m => append(m, [m.pop()]),
    e: m => append(m, m.popMark()),
    s: m => setItems(m, [m.pop(), m.pop()].reverse()),
    u: m => setItems(m, m.popMark()),
    '\x90': m => addItems(m, m.popMark()),
    // The memo.
    p: m => m.put(index(m.line(20))),
    q: m => m.put(m.byte()),
    r: m => m.put(m.uint32()),
    '\x94': m => m.memoize(),
    g: m => m.get(index(m.line(20))),
    h: m => m.get(m.byte()),
    j: m => m.get(m.uint32()),
    // Names, and what is made of them.
    c: m => m.push(named(m, m.line(1000), m.line(1000))),
    '\x93': m => {
      const name = m.pop()
      const module = m.pop()
      if (typeof module !== 'string' || typeof name !== 'string')
        throw new Flaw('a module and a name', `${typeName(module)} and ${typeName(name)}`)
      m.push(named(m, module, name))
    },
    R: construct,
    '\x81': construct,
    '\x92': m => {
      const options = m.pop()
      if (!(options instanceof PyDict) || options.entries.size > 0)
        throw new Flaw('no arguments by name', typeName(options))
      construct(m)
    },
    b: build,
    P: m => m.push(persistent(m, m.line(1000))),
    Q: m => m.push(persistent(m, m.pop())),
    // Envelope.
    '\x80': m => {
      const version = m.byte()
      if (version > 5) throw new Flaw('protocol 0 to 5', `protocol ${version}`)
    },
    '\x95': m => {
      const length = m.uint64()
      if (m.frame !== undefined && m.at < m.frame)
        throw new Flaw('a frame after the last one', 'one inside of it')
      m.advance(length)
      m.frame = m.at
      m.at -= length
    },
  } satisfies Record<string, Step>).map(([code, step]) => [code.charCodeAt(0), step]),
)

function append(m: Machine, items: PickleValue[]): void {
  const list = m.top()
  if (!(list instanceof PyList)) throw new Flaw('a list to append to', typeName(list))
  m.spend(items.length)
  // An array that grows takes room for 17 values at once; most lists get all of theirs together.
  if (list.items.length === 0) list.items = items
  else for (const item of items) list.items.push(item)
}

function setItems(m: Machine, items: readonly PickleValue[]): void {
  const dict = m.top()
  if (!(dict instanceof PyDict)) throw new Flaw('a dictionary to set items of', typeName(dict))
  if (items.length % 2 !== 0) throw new Flaw('keys and values in pairs', `${items.length} of them`)
  m.spend((items.length / 2) * cost.entry)
  for (let i = 0; i < items.length; i += 2) dict.set(items[i], items[i + 1])
}

function addItems(m: Machine, items: readonly PickleValue[]): void {
  const set = m.top()
  if (!(set instanceof PySet)) throw new Flaw('a set to add to', typeName(set))
  m.spend(items.length * cost.entry)
  for (const item of items) set.add(item)
}

function index(line: string): number {
  if (!/^\d{1,10}$/.test(line)) throw new Flaw('an index into the memo', JSON.stringify(line))
  return Number(line)
}

function named(m: Machine, module: string, name: string): PickleGlobal {
  const found = m.options.globals.get(`${module} ${name}`)
  if (found !== undefined) return found
  const full = `${module}.${name}`.slice(0, 200)
  throw new Flaw(
    'tensors, arrays, containers and numbers',
    `a reference to ${full}, which is refused: nothing of it was run`,
    m.options.refuse?.(full) ??
      `Save the values themselves, as numbers, lists and dictionaries, instead of ${full}.`,
  )
}

function construct(m: Machine): void {
  const args = m.pop()
  const called = m.pop()
  if (!(args instanceof PyTuple)) throw new Flaw('arguments in a tuple', typeName(args))
  if (!(called instanceof PickleGlobal) || called.make === undefined)
    throw new Flaw('a constructor of tensors, arrays or containers', typeName(called))
  m.spend(cost.object)
  m.push(called.make(args.items, m.spend))
}

// The attributes that Python sets on dictionaries, such as `_metadata` of state dictionaries, are no part of the data.
function build(m: Machine): void {
  const state = m.pop()
  const target = m.top()
  if (target instanceof PickleObject) target.setState(state)
  else if (
    !(target instanceof PyDict) ||
    !(state instanceof PyDict || (state instanceof PyTuple && state.items.length === 2))
  )
    throw new Flaw(
      'state of a tensor, an array or a dictionary',
      `${typeName(state)} for ${typeName(target)}`,
    )
}

function persistent(m: Machine, id: PickleValue): PickleValue {
  if (m.options.persistent === undefined) throw new Flaw('no persistent ids', typeName(id))
  m.spend(cost.object)
  return m.options.persistent(id)
}
