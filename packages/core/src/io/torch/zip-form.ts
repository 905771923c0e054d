import type { ByteSource } from '../byte-source.js'
import { runPickle } from '../pickle/run.js'
import { badZip, openZip, type ZipArchive, type ZipLimits, type ZipMember } from '../zip/archive.js'
import { readMember, verifyMember } from '../zip/member.js'
import type { TorchFile } from './file.js'
import { remedyFor, torchGlobals } from './globals.js'
import { type NamedStorage, type StorageReader, storageIds } from './storages.js'

/** The newest version of the form that PyTorch itself reads. */
const newestVersion = 10

/** The form of PyTorch 1.6 and later: a zip archive of `data.pkl`, and `data/<key>` for each storage. */
export async function readZipForm(source: ByteSource, limits: ZipLimits): Promise<TorchFile> {
  const archive = await openZip(source, limits)
  const prefix = prefixOf(archive)
  const text = async (name: string): Promise<string | undefined> => {
    const member = archive.members.get(prefix + name)
    if (member === undefined) return undefined
    if (member.size > 64) throw badZip(source, `'${name}' to be a word`, `${member.size} bytes`)
    return Buffer.from(await readMember(archive, member, true))
      .toString('latin1')
      .trim()
  }
  const version = await text('version')
  if (version !== undefined && !(/^\d+$/.test(version) && Number(version) <= newestVersion))
    throw badZip(source, `version ${newestVersion} of the form, or older`, JSON.stringify(version))
  const order = (await text('byteorder')) ?? 'little'
  if (order !== 'little' && order !== 'big')
    throw badZip(source, "a byte order of 'little' or 'big'", JSON.stringify(order))
  const bytes = await readMember(archive, archive.members.get(`${prefix}data.pkl`) as ZipMember, true)
  const named = new Map<string, NamedStorage>()
  const options = { globals: torchGlobals(source.size), persistent: storageIds(named), refuse: remedyFor }
  const { value } = runPickle(bytes, source.name, options)
  const members = new Map<string, ZipMember>()
  for (const [key, storage] of named) {
    const member = archive.members.get(`${prefix}data/${key}`)
    if (member?.size !== storage.bytes)
      throw badZip(
        source,
        `a member 'data/${key.slice(0, 80)}' of ${storage.bytes} bytes`,
        member ? `${member.size} bytes` : 'none',
      )
    members.set(key, member)
  }
  return { value, pickled: bytes.length, storages: new ZipStorages(archive, members, order === 'big') }
}

function prefixOf({ source, members }: ZipArchive): string {
  const pickles = [...members.keys()].filter(name => /^([^/]+\/)?data\.pkl$/.test(name))
  const prefix = pickles[0]?.slice(0, -'data.pkl'.length)
  const scripted = [...members.keys()].some(name => /^[^/]+\/(constants\.pkl$|code\/)/.test(name))
  if (scripted)
    throw badZip(
      source,
      'a checkpoint of tensors',
      'a TorchScript program (torch.jit.save)',
      'Save its weights: `torch.save(torch.jit.load(path).state_dict(), other)`.',
    )
  if (prefix === undefined || pickles.length > 1)
    throw badZip(
      source,
      "one 'data.pkl', as torch.save writes",
      `${pickles.length} of them`,
      [...members.keys()].some(name => name.endsWith('.npy')) ? 'Read .npz files with `loadNpz`.' : undefined,
    )
  return prefix
}

class ZipStorages implements StorageReader {
  readonly bigEndian: boolean
  readonly #archive: ZipArchive
  readonly #members: ReadonlyMap<string, ZipMember>
  readonly #verified = new Set<string>()

  constructor(archive: ZipArchive, members: ReadonlyMap<string, ZipMember>, bigEndian: boolean) {
    this.#archive = archive
    this.#members = members
    this.bigEndian = bigEndian
  }

  size(key: string): number {
    return this.#member(key).size
  }

  // PyTorch can be told to write no checksums, and then writes 0.
  async read(key: string, at: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
    const member = this.#member(key)
    if (member.deflated || length === member.size)
      return (await readMember(this.#archive, member, true)).subarray(at, at + length)
    if (!this.#verified.has(key)) await verifyMember(this.#archive, member, true)
    this.#verified.add(key)
    return this.#archive.source.read(member.at + at, length)
  }

  #member(key: string): ZipMember {
    return this.#members.get(key) as ZipMember
  }
}
