import type { Rng } from '../fuzz/rng.js'

// Where readers go wrong: around signs, powers of two and what a double or a size holds.
const edges = [
  0n, 1n, 2n, 7n, 8n, 0x7fn, 0x80n, 0xffn, 0x100n, 0x7fffn, 0x8000n, 0xffffn, 0x10000n, 0x7fffffffn, 0x80000000n, 0xffffffffn,
  0x100000000n, (1n << 53n) - 1n, 1n << 53n, (1n << 53n) + 1n, (1n << 63n) - 1n, 1n << 63n, (1n << 64n) - 1n,
] // biome-ignore format: a list
const numbers = [
  '0', '-0', '1', '-1', '01', '1.0', '1e0', '1e400', '-1e400', '1.5', '2', '3', '4', '8', '127', '255', '65536', '2147483647',
  '2147483648', '4294967296', '9007199254740991', '9007199254740992', '18446744073709551615', '1000000000000000', 'NaN', 'null',
  'true', '""', '[]', '{}', '[0]',
] // biome-ignore format: a list
const texts = [
  '__proto__',
  'constructor',
  'toString',
  '__metadata__',
  '',
  '..',
  '\\ud800',
  '\\u0000',
  'a',
  '\u{1f600}',
]

/** A file with one to six changes that know nothing of its format but that it may hold numbers and strings as text. */
export function mutate(bytes: Buffer, rng: Rng, others: readonly Buffer[]): Buffer {
  let made: Buffer = Buffer.from(bytes)
  for (let times = rng.chance(0.6) ? 1 : rng.int(2, 6); times > 0; times--)
    made = rng.pick(changes)(made, rng, others)
  return made
}

type Change = (bytes: Buffer, rng: Rng, others: readonly Buffer[]) => Buffer

const somewhere = (bytes: Buffer, rng: Rng): number => rng.int(0, bytes.length)

// Half of all places lie in the beginning, where headers are.
function place(bytes: Buffer, rng: Rng): number {
  return rng.chance(0.5) ? rng.int(0, Math.min(bytes.length, 96)) : somewhere(bytes, rng)
}

const changes: readonly Change[] = [
  // A bit, a byte, a few bytes.
  (bytes, rng) => {
    if (bytes.length > 0) bytes[Math.min(place(bytes, rng), bytes.length - 1)] ^= 1 << rng.int(0, 7)
    return bytes
  },
  (bytes, rng) => {
    for (let n = rng.int(1, 4), at = place(bytes, rng); n > 0 && at < bytes.length; n--)
      bytes[at++] = rng.int(0, 255)
    return bytes
  },
  // The end is missing, or a piece of the middle.
  (bytes, rng) =>
    bytes.subarray(0, rng.chance(0.5) ? Math.max(0, bytes.length - rng.int(1, 9)) : somewhere(bytes, rng)),
  (bytes, rng) => {
    const at = place(bytes, rng)
    return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + rng.int(1, 16))])
  },
  // More than there was: noise, a piece of the same file, a piece of another.
  (bytes, rng) =>
    inserted(
      bytes,
      place(bytes, rng),
      Buffer.from(Array.from({ length: rng.int(1, 16) }, () => rng.int(0, 255))),
    ),
  (bytes, rng) => inserted(bytes, place(bytes, rng), piece(bytes, rng)),
  (bytes, rng, others) => inserted(bytes, place(bytes, rng), piece(rng.pick(others), rng)),
  (bytes, rng, others) => {
    const other = rng.pick(others)
    return Buffer.concat([bytes.subarray(0, place(bytes, rng)), other.subarray(place(other, rng))])
  },
  integer,
  integer,
  textNumber,
  textNumber,
  textString,
]

function inserted(bytes: Buffer, at: number, piece: Buffer): Buffer {
  return Buffer.concat([bytes.subarray(0, at), piece, bytes.subarray(at)])
}

function piece(bytes: Buffer, rng: Rng): Buffer {
  const at = somewhere(bytes, rng)
  return bytes.subarray(at, at + rng.int(1, 64))
}

/** An integer of 1 to 8 bytes, of either byte order, becomes one of the edges, or one more or less. */
function integer(bytes: Buffer, rng: Rng): Buffer {
  const width = rng.pick([1, 2, 4, 8])
  if (bytes.length < width) return bytes
  const at = Math.min(place(bytes, rng), bytes.length - width)
  const little = rng.chance(0.7)
  const order = Array.from({ length: width }, (_, i) => at + (little ? i : width - 1 - i))
  let value = rng.pick(edges)
  if (rng.chance(0.4)) {
    value = 0n
    for (const [i, where] of order.entries()) value |= BigInt(bytes[where]) << BigInt(8 * i)
    value += BigInt(rng.pick([-8, -1, 1, 8]))
  }
  for (const [i, where] of order.entries())
    bytes[where] = Number((BigInt.asUintN(64, value) >> BigInt(8 * i)) & 255n)
  return bytes
}

/** A number written in digits becomes another. */
function textNumber(bytes: Buffer, rng: Rng): Buffer {
  return replaced(bytes, rng, /\d+/g, number =>
    rng.chance(0.3) ? String(Number(number) + rng.pick([-1, 1, 4, -4])) : rng.pick(numbers),
  )
}

/** A word in quotation marks becomes another, some of them of the same file. */
function textString(bytes: Buffer, rng: Rng): Buffer {
  const words = bytes.toString('latin1').match(/["'][^"']{0,40}["']/g) ?? []
  return replaced(bytes, rng, /["'][^"']{0,40}["']/g, word =>
    rng.chance(0.5)
      ? rng.pick(words)
      : `${word[0]}${Buffer.from(rng.pick(texts)).toString('latin1')}${word[0]}`,
  )
}

export function replaced(bytes: Buffer, rng: Rng, pattern: RegExp, by: (found: string) => string): Buffer {
  const text = bytes.toString('latin1')
  const found = [...text.matchAll(pattern)]
  if (found.length === 0) return bytes
  const { 0: old, index } = rng.pick(found)
  return Buffer.from(text.slice(0, index) + by(old) + text.slice(index + old.length), 'latin1')
}
