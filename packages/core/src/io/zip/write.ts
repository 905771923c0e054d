import { crc32 } from 'node:zlib'

const most32 = 0xffffffff
const part = 1 << 26
const joint = 1 << 16

interface Written {
  name: Buffer
  size: number
  sum: number
  at: number
}

/** Small parts together, so that they are written at once. */
function* joined(parts: Iterable<Uint8Array>): Generator<Uint8Array> {
  let small: Uint8Array[] = []
  let size = 0
  for (const bytes of parts) {
    if (bytes.length >= joint) {
      yield Buffer.concat(small)
      yield bytes
      small = []
      size = 0
      continue
    }
    small.push(bytes)
    size += bytes.length
    if (size < joint) continue
    yield Buffer.concat(small)
    small = []
    size = 0
  }
  yield Buffer.concat(small)
}

/**
 * A zip archive of stored members, in parts. Sizes and offsets of 4 GiB and more, and more than 65,535 members, are written as
 * ZIP64. No time of day is written: the same members give the same bytes. Source: PKWARE's APPNOTE 6.3.
 */
export function zipOf(
  members: Iterable<readonly [name: string, content: readonly Uint8Array[]]>,
): Generator<Uint8Array> {
  return joined(partsOf(members))
}

function* partsOf(
  members: Iterable<readonly [name: string, content: readonly Uint8Array[]]>,
): Generator<Uint8Array> {
  const written: Written[] = []
  let at = 0
  for (const [text, content] of members) {
    const member: Written = { name: Buffer.from(text), size: 0, sum: 0, at }
    for (const bytes of content) {
      member.size += bytes.length
      for (let i = 0; i < bytes.length; i += part) member.sum = crc32(bytes.subarray(i, i + part), member.sum)
    }
    const head = header(member, true)
    yield head
    yield* content
    at += head.length + member.size
    written.push(member)
  }
  const start = at
  for (const member of written) {
    const head = header(member, false)
    yield head
    at += head.length
  }
  yield end(written.length, start, at - start)
}

function header({ name, size, sum, at }: Written, local: boolean): Buffer {
  const wide = [size >= most32 ? [size, size] : [], !local && at >= most32 ? [at] : []].flat()
  const extra = Buffer.alloc(wide.length > 0 ? 4 + 8 * wide.length : 0)
  if (wide.length > 0) {
    extra.writeUInt16LE(1, 0)
    extra.writeUInt16LE(8 * wide.length, 2)
    for (const [i, value] of wide.entries()) extra.writeBigUInt64LE(BigInt(value), 4 + 8 * i)
  }
  const narrow = (value: number): number => Math.min(value, most32)
  const version = wide.length > 0 ? 45 : 20
  const fixed = Buffer.alloc(local ? 30 : 46)
  fixed.writeUInt32LE(local ? 0x04034b50 : 0x02014b50, 0)
  if (!local) fixed.writeUInt16LE(version, 4)
  const f = fixed.subarray(local ? 4 : 6)
  f.writeUInt16LE(version, 0)
  // Names are UTF-8; method 0; 1 January 1980, the format's first day.
  f.writeUInt16LE(0x800, 2)
  f.writeUInt16LE(0x21, 8)
  f.writeUInt32LE(sum, 10)
  f.writeUInt32LE(narrow(size), 14)
  f.writeUInt32LE(narrow(size), 18)
  f.writeUInt16LE(name.length, 22)
  f.writeUInt16LE(extra.length, 24)
  if (!local) fixed.writeUInt32LE(narrow(at), 42)
  return Buffer.concat([fixed, name, extra])
}

function end(count: number, start: number, length: number): Buffer {
  const fixed = Buffer.alloc(22)
  fixed.writeUInt32LE(0x06054b50, 0)
  fixed.writeUInt16LE(Math.min(count, 0xffff), 8)
  fixed.writeUInt16LE(Math.min(count, 0xffff), 10)
  fixed.writeUInt32LE(Math.min(length, most32), 12)
  fixed.writeUInt32LE(Math.min(start, most32), 16)
  if (count < 0xffff && start + length < most32) return fixed
  const wide = Buffer.alloc(76)
  wide.writeUInt32LE(0x06064b50, 0)
  wide.writeBigUInt64LE(44n, 4)
  wide.writeUInt16LE(45, 12)
  wide.writeUInt16LE(45, 14)
  for (const at of [24, 32]) wide.writeBigUInt64LE(BigInt(count), at)
  wide.writeBigUInt64LE(BigInt(length), 40)
  wide.writeBigUInt64LE(BigInt(start), 48)
  wide.writeUInt32LE(0x07064b50, 56)
  wide.writeBigUInt64LE(BigInt(start + length), 64)
  wide.writeUInt32LE(1, 72)
  return Buffer.concat([wide, fixed])
}
