import type { Entry, ZipFile } from 'yauzl'
import yauzl from 'yauzl'
import { expectNumber } from '../../check.js'
import { VqError, type VqFormatError } from '../../errors.js'
import type { ByteSource } from '../byte-source.js'
import { badFile } from '../file-bytes.js'
import { SourceReader } from './reader.js'

export interface ZipMember {
  readonly name: string
  /** Bytes once unpacked. */
  readonly size: number
  /** Bytes in the archive. */
  readonly packed: number
  /** Where they begin. */
  readonly at: number
  readonly deflated: boolean
  readonly crc32: number
}

export interface ZipArchive {
  readonly source: ByteSource
  readonly members: ReadonlyMap<string, ZipMember>
}

export interface ZipLimits {
  /** Most bytes that all deflated members together may unpack to. Default: 256 MiB, or 100 times their packed size. */
  maxBytes?: number | undefined
}

/** More members than any archive of tensors has. */
const mostMembers = 1 << 20
/** What deflate can make of one byte at best. */
const bestRatio = 1032
const endRecord = 22
const endSignature = 0x06054b50
const end64Signature = 0x06064b50

export function badZip(
  source: ByteSource,
  expected: string,
  received: string,
  remedy = 'The archive is damaged or was made to mislead: fetch or save it again.',
): VqFormatError {
  return badFile(source.name, 'a zip archive', expected, received, remedy)
}

/**
 * Reads the directory of a zip archive, and checks it against the file before anything is unpacked: members lie inside
 * the file and apart from each other, have names of their own that stay inside, are stored or deflated, unencrypted, and claim
 * sizes that their bytes can have. Throws VqFormatError.
 */
export async function openZip(source: ByteSource, limits: ZipLimits = {}): Promise<ZipArchive> {
  if (limits.maxBytes !== undefined)
    expectNumber(`reading ${source.name}`, 'maxBytes', limits.maxBytes, 0, Number.MAX_SAFE_INTEGER)
  const reader = new SourceReader(source)
  try {
    const zip = await yauzl.fromRandomAccessReaderPromise(reader, source.size, {
      autoClose: false,
      strictFileNames: true,
      validateEntrySizes: true,
    })
    try {
      return { source, members: await readMembers(zip, reader, source, limits) }
    } finally {
      zip.close()
    }
  } catch (error) {
    if (error instanceof VqError || (error as NodeJS.ErrnoException).code !== undefined) throw error
    throw badZip(source, 'a zip archive', (error as Error).message)
  }
}

async function readMembers(
  zip: ZipFile,
  reader: SourceReader,
  source: ByteSource,
  limits: ZipLimits,
): Promise<Map<string, ZipMember>> {
  const { entryCount: count } = zip
  if (count > Math.min(mostMembers, source.size / 46))
    throw badZip(
      source,
      `at most ${mostMembers} members in a file that holds their names`,
      `a count of ${count}`,
    )
  const entries: Entry[] = []
  let length = 0
  for await (const entry of zip.eachEntry()) {
    length += 46 + entry.fileNameLength + entry.extraFieldLength + entry.fileCommentLength
    entries.push(entry)
  }
  // Reads of the directory are in sequence, so the last one ended where it ends.
  const start = count === 0 ? 0 : reader.end - length
  if (count > 0) await checkEnd(source, reader.end, source.size - endRecord - zip.comment.length)
  const placed: { member: ZipMember; from: number }[] = []
  for (const entry of entries)
    placed.push({ member: await place(zip, entry, source), from: entry.relativeOffsetOfLocalHeader })
  placed.sort((a, b) => a.from - b.from)
  placed.forEach(({ member: { name, at, packed } }, i) => {
    const next = placed[i + 1]?.from ?? start
    if (at + packed > next)
      throw badZip(
        source,
        `'${name}' to end before byte ${next}, where the next part begins`,
        `an end at ${at + packed}`,
      )
  })
  const members = new Map<string, ZipMember>()
  // In the directory's order, which writers choose.
  for (const { fileName } of entries) {
    if (members.has(fileName))
      throw badZip(source, 'members with names of their own', `two named '${fileName}'`)
    members.set(fileName, undefined as never)
  }
  for (const { member } of placed) members.set(member.name, member)
  checkExpansion(source, members, limits)
  for (const name of [...members.keys()]) if (name.endsWith('/')) members.delete(name)
  return members
}

/** After the directory comes the record of its end: a count of members that is too low would leave some in between. */
async function checkEnd(source: ByteSource, at: number, end: number): Promise<void> {
  const four = at + 4 <= source.size ? await source.read(at, 4) : new Uint8Array(4)
  const signature = new DataView(four.buffer).getUint32(0, true)
  if (!(at === end && signature === endSignature) && !(at < end && signature === end64Signature))
    throw badZip(
      source,
      `the archive's directory to end at byte ${at}, as its count of members says`,
      'other bytes there',
    )
}

async function place(zip: ZipFile, entry: Entry, source: ByteSource): Promise<ZipMember> {
  const { fileName: name, compressionMethod: method, compressedSize: packed, uncompressedSize: size } = entry
  const fail = (expected: string, received: string, remedy?: string): VqFormatError =>
    badZip(source, `'${name.slice(0, 200)}' ${expected}`, received, remedy)
  if (name === '' || name.includes('\0'))
    throw fail('to have a name', 'an empty one, or one with a null character')
  if (entry.isEncrypted())
    throw fail(
      'to be unencrypted',
      'an encrypted member',
      'Decrypt the archive, and save it without a password.',
    )
  if (method !== 0 && method !== 8)
    throw fail(
      'to be stored or deflated',
      `compression method ${method}`,
      'Pack the archive again with deflate, or stored.',
    )
  if (size > packed * bestRatio)
    throw fail(`to unpack to at most ${bestRatio} times its ${packed} bytes`, `a claim of ${size} bytes`)
  const local = await zip.readLocalFileHeaderPromise(entry)
  if (!local.fileName.equals(entry.fileNameRaw) || local.compressionMethod !== method)
    throw fail('to have the same name and method in both of its headers', 'others in front of its bytes')
  const later = (local.generalPurposeBitFlag & 8) !== 0
  const same = (a: number, b: number): boolean => later || a === 0xffffffff || a === b
  if (
    !same(local.compressedSize, packed) ||
    !same(local.uncompressedSize, size) ||
    !(later || local.crc32 === entry.crc32)
  )
    throw fail('to have the same sizes and checksum in both of its headers', 'others in front of its bytes')
  const at = local.fileDataStart
  if (at + packed > source.size)
    throw fail(`to lie within the file's ${source.size} bytes`, `an end at ${at + packed}`)
  return { name, size, packed, at, deflated: method === 8, crc32: entry.crc32 }
}

function checkExpansion(
  source: ByteSource,
  members: ReadonlyMap<string, ZipMember>,
  { maxBytes }: ZipLimits,
): void {
  let packed = 0
  let size = 0
  for (const member of members.values())
    if (member.deflated) {
      packed += member.packed
      size += member.size
    }
  const most = maxBytes ?? Math.max(2 ** 28, packed * 100)
  if (size > most)
    throw badZip(
      source,
      `deflated members that unpack to at most ${most} bytes`,
      `${size} bytes from ${packed}`,
      'If you trust the file and have the memory, raise `maxBytes`.',
    )
}
