import { expectConfig } from '../check.js'
import { VqConfigError } from '../errors.js'
import { writeFileAtomic } from './atomic.js'
import { type ByteSource, openSource } from './byte-source.js'
import { type NpyHeader, npyBytes, parseHeader, toStored } from './npy.js'
import type { StateDict, StoredTensor, TensorEntry, TensorFile } from './stored-tensor.js'
import { badZip, openZip, type ZipArchive, type ZipMember } from './zip/archive.js'
import { readHead, readMember } from './zip/member.js'
import { ReadAhead } from './zip/reader.js'
import { zipOf } from './zip/write.js'

export interface NpzOptions {
  /** Most bytes that compressed members may unpack to. Default: 256 MiB, or 100 times their packed size. */
  maxBytes?: number | undefined
}

/** Signature, version, length, and the longest header there may be. */
const headBytes = 12 + 100_000

interface NpzMember {
  member: ZipMember
  header: NpyHeader
}

/**
 * Reads a NumPy `.npz` archive, stored or deflated; names are without `.npy`. Throws VqFormatError where a member is not `.npy`, its
 * header claims other than its bytes, or compressed members unpack to more than `maxBytes`.
 */
export async function loadNpz(path: string, options: NpzOptions = {}): Promise<StateDict> {
  const source = await openSource(path, 'npz')
  try {
    return await readNpz(source, options)
  } finally {
    await source.close()
  }
}

async function readNpz(source: ByteSource, options: NpzOptions): Promise<StateDict> {
  const archive = await openZip(source, options)
  const tensors: StateDict = Object.create(null)
  for (const [name, found] of await readHeaders(archive)) tensors[name] = await readArray(archive, found)
  return tensors
}

/** Opens a `.npz` archive to read one array at a time. Throws as `loadNpz` does. */
export async function openNpz(path: string, options: NpzOptions = {}): Promise<TensorFile> {
  const source = await openSource(path, 'npz')
  try {
    const archive = await openZip(source, options)
    const members = await readHeaders(archive)
    const entry = ({ header: { dtype, shape } }: NpzMember): TensorEntry => ({ dtype, shape: [...shape] })
    return {
      entries: new Map([...members].map(([name, found]) => [name, entry(found)])),
      metadata: Object.create(null),
      async read(name) {
        const found = members.get(name)
        if (found === undefined) throw absent(path, name)
        return readArray(archive, found)
      },
      close: () => source.close(),
    }
  } catch (error) {
    await source.close()
    throw error
  }
}

/**
 * Writes named tensors as a `.npz` archive, stored as `numpy.savez` does, atomically. BF16 and the floats of 8 bits and fewer become
 * float32, as in `saveNpy`. Throws as `npyBytes` does, and VqConfigError for names that could leave a folder.
 */
export async function saveNpz(path: string, tensors: Readonly<Record<string, StoredTensor>>): Promise<void> {
  expectConfig(
    typeof tensors === 'object' && tensors !== null,
    'saveNpz',
    'tensors by name',
    tensors,
    'Pass an object of tensors.',
  )
  const names = Object.keys(tensors)
  for (const name of names) checkName(path, name)
  // One after the other, so that few are held as bytes.
  function* members(): Generator<[string, Uint8Array[]]> {
    for (const name of names) yield [`${name}.npy`, [npyBytes(tensors[name])]]
  }
  await writeFileAtomic(path, zipOf(members()))
}

async function readHeaders(archive: ZipArchive): Promise<Map<string, NpzMember>> {
  const members = new Map<string, NpzMember>()
  const ahead = new ReadAhead(archive.source)
  for (const member of archive.members.values()) {
    const { name } = member
    if (!name.endsWith('.npy'))
      throw badZip(archive.source, "members that end in '.npy'", `'${name.slice(0, 200)}'`)
    const head = await readHead(archive, member, headBytes, ahead)
    members.set(name.slice(0, -4), {
      member,
      header: parseHeader(head, member.size, placeOf(archive, member)),
    })
  }
  return members
}

async function readArray(archive: ZipArchive, { member, header }: NpzMember): Promise<StoredTensor> {
  const bytes = await readMember(archive, member)
  return toStored(header, bytes.subarray(header.offset), placeOf(archive, member))
}

function placeOf({ source }: ZipArchive, { name }: ZipMember): string {
  return `'${name.slice(0, 200)}' of ${source.name}`
}

function checkName(path: string, name: string): void {
  const bad = name === '' || /[\\\0]|^\/|^[a-zA-Z]:/.test(name) || name.split('/').includes('..')
  if (bad || Buffer.byteLength(name) > 65_000)
    throw new VqConfigError({
      operation: `writing ${path} as npz`,
      expected: "names without '..', backslashes and null characters, that are not absolute",
      received: `'${name.slice(0, 200)}'`,
      remedy: 'Rename the tensor.',
    })
}

function absent(path: string, name: string): VqConfigError {
  return new VqConfigError({
    operation: `reading ${path}`,
    expected: 'the name of an array in it',
    received: `'${name}'`,
    remedy: 'Names are the keys of `entries`.',
  })
}
