import type { Rng } from '../fuzz/rng.js'
import { mutate } from './mutate.js'

// Bytes that follow an opcode; those that count more bytes; those with lines of text.
const fixed: Record<string, number> = {
  J: 4, K: 1, M: 2, G: 8, q: 1, r: 4, h: 1, j: 4, '\x80': 1, '\x95': 8,
} // biome-ignore format: a list
const counted: Record<string, number> = {
  T: 4, U: 1, X: 4, B: 4, C: 1, '\x8a': 1, '\x8b': 4, '\x8c': 1, '\x8d': 8, '\x8e': 8, '\x96': 8,
} // biome-ignore format: a list
const lines: Record<string, number> = { I: 1, L: 1, F: 1, S: 1, V: 1, p: 1, g: 1, P: 1, c: 2 }

interface Op {
  at: number
  end: number
  code: string
}

/** The opcodes of the first `most` pickles, as far as they can be told apart. */
export function opcodesIn(bytes: Buffer, most = 1): Op[] {
  const ops: Op[] = []
  let stops = 0
  for (let at = 0; at < bytes.length && stops < most; ) {
    const code = String.fromCharCode(bytes[at])
    let end = at + 1 + (fixed[code] ?? 0)
    const width = counted[code] ?? 0
    if (width > 0) {
      if (end + width > bytes.length) break
      end += width + Number(width === 8 ? bytes.readBigUInt64LE(end) : bytes.readUIntLE(end, width))
    }
    for (let n = lines[code] ?? 0; n > 0; n--) end = bytes.indexOf(10, end) + 1 || bytes.length
    if (end > bytes.length) break
    ops.push({ at, end, code })
    if (code === '.') stops++
    at = end
  }
  return ops
}

const names = [
  'os\nsystem', 'builtins\neval', 'builtins\nset', 'builtins\nbytearray', 'builtins\ncomplex', '__builtin__\nslice', 'builtins\ntuple',
  'collections\nOrderedDict', 'collections\ndefaultdict', 'collections\nCounter', '_codecs\nencode', 'numpy\ndtype', 'numpy\nndarray',
  'numpy.core.multiarray\nscalar', 'numpy.core.multiarray\n_reconstruct', 'numpy._core.numeric\n_frombuffer', 'torch\nSize',
  'torch\ndevice', 'torch\nTensor', 'torch\nfloat16', 'torch\nLongStorage', 'torch._utils\n_rebuild_tensor_v2',
  'torch._utils\n_rebuild_tensor_v3', 'torch._utils\n_rebuild_parameter', 'torch._tensor\n_rebuild_from_type_v2',
] // biome-ignore format: a list
const singles = '(012N\x88\x89)t\x85\x86\x87]}\x8fld\x91aesu\x90\x94\x93R\x81\x92bQ.'

function snippet(rng: Rng): Buffer {
  const small = (): string => String.fromCharCode(rng.int(0, 40))
  const length = (): string =>
    String.fromCharCode(...Array.from({ length: 8 }, () => (rng.chance(0.7) ? 0 : rng.int(0, 255))))
  const text = rng.pick([
    () => rng.pick([...singles]),
    () => rng.pick([...singles]) + rng.pick([...singles]),
    () => `c${rng.pick(names)}\n`,
    () => `c${rng.pick(names)}\n)R`,
    () => `h${small()}`,
    () => `q${small()}`,
    () => `h${small()}h${small()}${rng.pick(['\x86', 'a', 'R', 'b', '\x86R'])}`,
    () => `K${small()}`,
    () => `J${length().slice(0, 4)}`,
    () => `\x8a\x08${length()}`,
    () => `\x8b${length().slice(0, 4)}`,
    () => `X${length().slice(0, 4)}`,
    () => `\x95${length()}`,
    () => `\x96${length()}`,
    () => `\x8e${length()}`,
    () => `G${length()}`,
    () => 'X\x03\0\0\0abc',
    () => '}q\x02h\x02h\x02s',
    () => ']q\x01h\x01a',
    () => 'I12\n',
    () => 'L99999999999999999999L\n',
    () => 'F1e5\n',
    () => "S'a\\x80'\n",
    () => 'Vab\\u00e9\n',
    () => '('.repeat(rng.int(1, 600)),
    () => `]${'\x85'.repeat(rng.int(1, 600))}`,
    // Each list holds the one before ten times.
    () => `]${Array.from({ length: rng.int(1, 12) }, () => `q\x01](${'h\x01'.repeat(10)}e`).join('')}`,
  ])()
  return Buffer.from(text, 'latin1')
}

/** Changes at the borders of opcodes: some more, some fewer, others, twice the same, another length or number. */
export function mutatePickle(bytes: Buffer, rng: Rng, others: readonly Buffer[], pickles = 1): Buffer {
  if (rng.chance(0.2)) return mutate(bytes, rng, others)
  let made = bytes
  for (let times = rng.chance(0.5) ? 1 : rng.int(2, 4); times > 0; times--)
    made = change(made, rng, others, pickles)
  return made
}

function change(bytes: Buffer, rng: Rng, others: readonly Buffer[], pickles: number): Buffer {
  const ops = opcodesIn(bytes, pickles)
  if (ops.length === 0) return mutate(bytes, rng, others)
  const op = rng.pick(ops)
  const replaced = (by: Buffer, from = op.at, to = op.end): Buffer =>
    Buffer.concat([bytes.subarray(0, from), by, bytes.subarray(to)])
  const kind = rng.int(0, 6)
  if (kind <= 1) return replaced(snippet(rng), op.at, op.at)
  if (kind === 2) return replaced(Buffer.alloc(0))
  if (kind === 3) return replaced(snippet(rng))
  if (kind === 4) {
    const other = rng.pick(others)
    const from = rng.pick([ops, opcodesIn(other, pickles)])
    const source = from === ops ? bytes : other
    const first = rng.int(0, Math.max(0, from.length - 1))
    const last = Math.min(from.length - 1, first + rng.int(0, 12))
    return from.length === 0 ? bytes : replaced(source.subarray(from[first].at, from[last].end), op.at, op.at)
  }
  // Only what follows the opcode: lengths, numbers, indexes into the memo, text.
  const within = ops.filter(({ at, end }) => end - at > 1)
  if (within.length === 0) return bytes
  const { at, end } = rng.pick(within)
  return replaced(mutate(Buffer.from(bytes.subarray(at + 1, end)), rng, others), at + 1, end)
}
