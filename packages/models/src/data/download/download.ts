import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, rename, rm, stat } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { expectConfig, expectInteger } from '@vq/core'
import { aborted, Broken, mismatch, unreachable, unwritable } from './failures.js'
import { fetchPart, forget, sizeOf } from './part.js'

export interface DownloadOptions {
  /** http or https. */
  url: string
  /** The file to write; missing folders are made. While it is fetched it is called `<to>.part`. */
  to: string
  /** Of the whole file, in hexadecimal digits. */
  sha256?: string
  /** Where only this one is published; it guards against damage, not against forgery. */
  md5?: string
  /** Bytes of the file; other sizes are errors. */
  size?: number
  /** Files that grow larger are errors. Default: `size`, else 16 GiB. */
  maxBytes?: number
  /** How often in a row a connection that brought nothing is tried again; 0 for a single connection. Default 4. */
  retries?: number
  /** Milliseconds without a byte after which a connection counts as broken. Default 30,000. */
  idleMs?: number
  /** Milliseconds before the first new try; each next one waits twice as long. Default 500. */
  retryMs?: number
  /** Bytes so far and, where known, of the whole. */
  onProgress?: (done: number, total: number | undefined) => void
  signal?: AbortSignal
}

/**
 * Fetches a file: resumes a `.part` that an earlier call left (with Range and If-Range where the server gave a validator), tries
 * again after a broken connection, checks size and hash, and only then gives it its name. A file with the right hash is not
 * fetched again. Gives the absolute path.
 * Throws VqDeviceError where the server cannot be reached, saying which file to put where; VqConfigError for an address that
 * it does not have; VqFormatError where the file is another than expected; VqAbortError, after which a call resumes.
 *
 * @example
 * await download({ url: 'https://example.org/a.npy', sha256: '9f86d081…', to: 'data/a.npy', onProgress: console.log })
 */
export async function download(options: DownloadOptions): Promise<string> {
  const {
    url,
    to,
    sha256,
    md5,
    size,
    maxBytes = size ?? 2 ** 34,
    retries = 4,
    retryMs = 500,
    signal,
  } = options
  expectConfig(
    /^https?:\/\//.test(url),
    'download',
    'an http or https address',
    url,
    'Pass the whole address.',
  )
  expectInteger('download', 'maxBytes', maxBytes, 1)
  expectInteger('download', 'retries', retries, 0, 100)
  for (const [hash, digits] of [
    [sha256, 64],
    [md5, 32],
  ] as const)
    expectConfig(
      hash === undefined || (hash.length === digits && /^[0-9a-f]+$/i.test(hash)),
      'download',
      `a hash of ${digits} hexadecimal digits`,
      hash,
      'Pass sha256 or md5 as published.',
    )
  const target = resolve(to)
  const part = `${target}.part`
  if ((await stat(target).catch(() => undefined))?.isFile()) {
    if (await matches(target, options)) return target
    throw mismatch(options, target, 'another file under this name', 'Move it away, then fetch again.')
  }
  await mkdir(dirname(target), { recursive: true }).catch(cause => {
    throw unwritable(options, cause)
  })
  let restarted = false
  let resumed = false
  for (let attempt = 0; ; attempt++) {
    if (signal?.aborted) throw aborted(signal)
    const before = await sizeOf(part)
    try {
      resumed = await fetchPart(options, part, maxBytes)
    } catch (error) {
      if (signal?.aborted) throw aborted(signal)
      if (!(error instanceof Broken)) throw error
      // What brings the file on is no failure to be counted.
      if (retries > 0 && (await sizeOf(part)) > before) attempt = -1
      if (attempt >= retries) throw unreachable(options, target, error)
      await pause(Math.min(30_000, retryMs * 2 ** Math.max(0, attempt)), undefined, {
        ...(signal && { signal }),
      }).catch(() => {
        throw aborted(signal as AbortSignal)
      })
      continue
    }
    if (await matches(part, options)) break
    await forget(part)
    // What was resumed may belong to another version: once more from the start.
    if (restarted || !resumed)
      throw mismatch(options, target, 'another file from the server', 'Check the address and the hash.')
    restarted = true
  }
  await rename(part, target)
  await rm(`${part}.tag`, { force: true })
  return target
}

async function matches(path: string, { sha256, md5, size }: DownloadOptions): Promise<boolean> {
  if (size !== undefined && (await stat(path)).size !== size) return false
  for (const [name, wanted] of [
    ['sha256', sha256],
    ['md5', md5],
  ] as const) {
    if (wanted === undefined) continue
    const hash = createHash(name)
    for await (const piece of createReadStream(path)) hash.update(piece as Buffer)
    if (hash.digest('hex') !== wanted.toLowerCase()) return false
  }
  return true
}
