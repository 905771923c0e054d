import { Readable } from 'node:stream'
import { crc32, createInflateRaw } from 'node:zlib'
import { VqError } from '../../errors.js'
import { badZip, type ZipArchive, type ZipMember } from './archive.js'
import type { ReadAhead } from './reader.js'

const step = 1 << 20

/** A whole member, unpacked and its checksum verified. */
export async function readMember(
  archive: ZipArchive,
  member: ZipMember,
  unsummed = false,
): Promise<Uint8Array<ArrayBuffer>> {
  if (!member.deflated) {
    const bytes = await archive.source.read(member.at, member.packed)
    let sum = 0
    for (let at = 0; at < bytes.length; at += step) sum = crc32(bytes.subarray(at, at + step), sum)
    checkSum(archive, member, sum, unsummed)
    return bytes
  }
  const bytes = new Uint8Array(member.size)
  let at = 0
  let sum = 0
  for await (const part of unpacked(archive, member)) {
    bytes.set(part, at)
    at += part.length
    sum = crc32(part, sum)
  }
  checkSum(archive, member, sum, unsummed)
  return bytes
}

/** Verifies a member's checksum, with little memory. */
export async function verifyMember(archive: ZipArchive, member: ZipMember, unsummed = false): Promise<void> {
  if (unsummed && member.crc32 === 0 && !member.deflated) return
  let sum = 0
  for await (const part of unpacked(archive, member)) sum = crc32(part, sum)
  checkSum(archive, member, sum, unsummed)
}

/** The first bytes of a member, at most `length`; not verified. A view that is good until the next read of `ahead`. */
export async function readHead(
  archive: ZipArchive,
  member: ZipMember,
  length: number,
  ahead: ReadAhead,
): Promise<Uint8Array<ArrayBuffer>> {
  if (!member.deflated) return ahead.read(member.at, Math.min(length, member.packed))
  const bytes = new Uint8Array(Math.min(length, member.size))
  let at = 0
  for await (const part of unpacked(archive, member, Math.min(step, length))) {
    bytes.set(part.subarray(0, bytes.length - at), at)
    at += part.length
    if (at >= bytes.length) break
  }
  return bytes
}

/** A member's bytes in parts, which come to its size exactly: unpacking stops at the first byte beyond. */
async function* unpacked(
  archive: ZipArchive,
  member: ZipMember,
  stride: number = step,
): AsyncGenerator<Uint8Array> {
  if (!member.deflated) {
    yield* packed(archive, member, stride)
    return
  }
  const inflate = createInflateRaw()
  const input = Readable.from(packed(archive, member, stride), { objectMode: false, highWaterMark: 0 })
  // The pipe does not carry errors over.
  input.on('error', error => inflate.destroy(error))
  input.pipe(inflate)
  let size = 0
  try {
    for await (const part of inflate) {
      size += (part as Buffer).length
      if (size > member.size)
        throw badZip(archive.source, `'${member.name}' to unpack to ${member.size} bytes`, 'more')
      yield part as Buffer
    }
  } catch (error) {
    if (error instanceof VqError || !/^Z_/.test((error as NodeJS.ErrnoException).code ?? '')) throw error
    throw badZip(archive.source, `'${member.name}' to be deflated`, (error as Error).message)
  } finally {
    input.destroy()
    inflate.destroy()
  }
  if (size < member.size)
    throw badZip(archive.source, `'${member.name}' to unpack to ${member.size} bytes`, `${size}`)
}

async function* packed(
  { source }: ZipArchive,
  { at, packed }: ZipMember,
  stride: number,
): AsyncGenerator<Uint8Array> {
  for (let done = 0; done < packed; done += stride)
    yield source.read(at + done, Math.min(stride, packed - done))
}

// Writers that do not sum leave 0, where the caller's format allows that.
function checkSum(
  { source }: ZipArchive,
  { name, crc32: expected }: ZipMember,
  sum: number,
  unsummed: boolean,
): void {
  if (sum !== expected && !(unsummed && expected === 0))
    throw badZip(source, `'${name}' to have the checksum ${expected.toString(16)}`, sum.toString(16))
}
