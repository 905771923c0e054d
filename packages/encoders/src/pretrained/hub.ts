// A model on Hugging Face's hub and in its cache, whose layout is that of the Python library: models--owner--name holds
// blobs/<hash>, snapshots/<commit>/<file> as links to them, and refs/<revision> with the commit.
import { createHash } from 'node:crypto'
import { copyFile, mkdir, readFile, stat, symlink } from 'node:fs/promises'
import { dirname, join, relative, resolve, sep } from 'node:path'
import { VqDeviceError, VqError, VqFormatError } from '@vq/core'
import { writeFileAtomic } from '@vq/core/io'
import type { HubSettings } from './environment.js'

const commitHash = /^[0-9a-f]{40}$/

/** The snapshot of a revision in a folder of the cache; undefined where the folder is none or lacks it. */
export async function snapshotOf(folder: string, revision: string): Promise<string | undefined> {
  const commit = commitHash.test(revision)
    ? revision
    : (await readFile(join(folder, 'refs', ...safeParts(revision)), 'utf8').catch(() => '')).trim()
  if (!commitHash.test(commit)) return undefined
  const snapshot = join(folder, 'snapshots', commit)
  const there = await stat(snapshot).catch(() => undefined)
  return there?.isDirectory() ? snapshot : undefined
}

function safeParts(path: string): string[] {
  const parts = path.split('/')
  if (parts.every(part => /^[\w.+@-]+$/.test(part) && part !== '.' && part !== '..')) return parts
  throw new VqFormatError({
    operation: 'fromPretrained',
    expected: 'a revision or file name without ".." and unusual letters',
    received: JSON.stringify(path),
    remedy: 'Pass a branch, a tag or a commit.',
  })
}

export class HubRepository {
  readonly name: string
  readonly settings: HubSettings
  /** Its folder in the cache. */
  readonly folder: string
  private commit: Promise<string> | undefined

  constructor(name: string, settings: HubSettings) {
    this.name = name
    this.settings = settings
    this.folder = resolve(settings.cacheDir, `models--${name.replaceAll('/', '--')}`)
  }

  /** Path of a file in the cache, downloaded where it is missing; undefined where the model has none. */
  async find(file: string): Promise<string | undefined> {
    const { revision, offline } = this.settings
    const parts = safeParts(file)
    const snapshot = await snapshotOf(this.folder, revision)
    if (snapshot !== undefined) {
      const path = join(snapshot, ...parts)
      if ((await stat(path).catch(() => undefined))?.isFile()) return path
      // Which files it does not have is known as well, so that looking for an optional one asks once.
      const commit = snapshot.slice(snapshot.lastIndexOf(sep) + 1)
      const none = await stat(join(this.folder, '.no_exist', commit, ...parts)).catch(() => undefined)
      if (offline || none?.isFile()) return undefined
      return this.download(file, commit)
    }
    if (offline)
      throw new VqFormatError({
        operation: `reading the model '${this.name}'`,
        expected: `revision '${revision}' in the cache, ${this.folder}`,
        received: 'none there, and downloads are off (HF_HUB_OFFLINE)',
        remedy:
          'Fetch it where there is a network, set HF_HOME to the cache that holds it, or pass a folder.',
      })
    this.commit ??= this.resolve()
    return this.download(file, await this.commit)
  }

  /** The commit that the revision stands for now, kept in refs. */
  private async resolve(): Promise<string> {
    const { revision } = this.settings
    if (commitHash.test(revision)) return revision
    const { modelInfo } = await hub()
    const { sha } = await this.asking(() =>
      modelInfo({ name: this.name, revision, additionalFields: ['sha'], ...this.access() }),
    )
    if (!commitHash.test(sha)) throw this.failure(`a commit '${sha}'`)
    await writeFileAtomic(join(this.folder, 'refs', ...safeParts(revision)), sha)
    return sha
  }

  private async download(file: string, commit: string): Promise<string | undefined> {
    const { downloadFile, pathsInfo } = await hub()
    const repo = { type: 'model', name: this.name } as const
    const request = { repo, revision: commit, ...this.access() }
    const [info] = await this.asking(() => pathsInfo({ ...request, paths: [file] }))
    const parts = safeParts(file)
    if (info === undefined) {
      await writeFileAtomic(join(this.folder, '.no_exist', commit, ...parts), '')
      return undefined
    }
    const hash = info.lfs?.oid ?? info.oid
    if (hash === undefined || !/^[0-9a-f]{40,64}$/.test(hash))
      throw this.failure(`a hash '${hash}' of ${file}`)
    const blob = join(this.folder, 'blobs', hash)
    if ((await stat(blob).catch(() => undefined)) === undefined) {
      const content = await this.asking(() => downloadFile({ ...request, path: file }))
      if (content === null) throw this.failure(`no content of ${file}`)
      await this.asking(() => writeFileAtomic(blob, this.checked(content, file, info.size, info.lfs?.oid)))
    }
    const link = join(this.folder, 'snapshots', commit, ...parts)
    await mkdir(dirname(link), { recursive: true })
    try {
      await symlink(relative(dirname(link), blob), link)
    } catch (error) {
      // Another process was first, or the file system has no links.
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') await copyFile(blob, link)
    }
    return link
  }

  /** The bytes as they come; what is cut short or damaged never gets its name. */
  private async *checked(
    content: Blob,
    file: string,
    size: number,
    sha256?: string,
  ): AsyncGenerator<Uint8Array> {
    const hash = createHash('sha256')
    let length = 0
    for await (const part of content.stream() as unknown as AsyncIterable<Uint8Array>) {
      hash.update(part)
      length += part.length
      yield part
    }
    const digest = hash.digest('hex')
    if (length === size && (sha256 === undefined || sha256 === digest)) return
    throw this.failure(
      `${length} bytes of ${file} with sha256 ${digest}, not ${size} with ${sha256 ?? 'any'}`,
    )
  }

  private access(): { hubUrl: string; accessToken?: string } {
    const { endpoint, token } = this.settings
    return { hubUrl: endpoint, ...(token === undefined ? {} : { accessToken: token }) }
  }

  private async asking<T>(request: () => Promise<T>): Promise<T> {
    try {
      return await request()
    } catch (error) {
      if (error instanceof VqError) throw error
      const { cause, message } = error as Error
      throw this.failure(cause instanceof Error ? `${message} (${cause.message})` : message, error)
    }
  }

  private failure(received: string, cause?: unknown): VqError {
    const { endpoint, revision, token } = this.settings
    const status = (cause as { statusCode?: number } | undefined)?.statusCode
    const Kind = status === undefined ? VqDeviceError : VqFormatError
    return new Kind({
      operation: `downloading the model '${this.name}'`,
      expected: `${endpoint} to have revision '${revision}' of it`,
      received: status === undefined ? received : `status ${status} (${received})`,
      remedy:
        status === 401 || status === 403
          ? `Accept its terms on the hub and set HF_TOKEN${token === undefined ? '' : ' to a token that may read it'}.`
          : 'Check the name and the network, or pass a folder that holds its files.',
      cause,
    })
  }
}

type Hub = typeof import('@huggingface/hub')

async function hub(): Promise<Hub> {
  try {
    return await import('@huggingface/hub')
  } catch (cause) {
    throw new VqDeviceError({
      operation: 'fromPretrained',
      expected: 'the package @huggingface/hub for downloads',
      received: (cause as Error).message.split('\n')[0] ?? '',
      remedy: 'Reinstall @vq/encoders, or pass a folder.',
      cause,
    })
  }
}
