import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { type FileHandle, mkdir, open, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, resolve } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import {
  expectConfig,
  expectInteger,
  VqAbortError,
  VqConfigError,
  VqDeviceError,
  VqError,
  VqFormatError,
} from '@vq/core'

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

/** A failure that another try may mend. */
class Broken extends Error {}

async function sizeOf(part: string): Promise<number> {
  return (await stat(part).catch(() => undefined))?.size ?? 0
}

async function forget(part: string): Promise<void> {
  await rm(part, { force: true })
  await rm(`${part}.tag`, { force: true })
}

/** Says whether the part began with bytes of an earlier connection. */
async function fetchPart(options: DownloadOptions, part: string, maxBytes: number): Promise<boolean> {
  const { url, idleMs = 30_000, onProgress, size } = options
  let have = await sizeOf(part)
  if (have > maxBytes || (size !== undefined && have > size)) {
    await forget(part)
    have = 0
  }
  if (size !== undefined && have === size) return true
  const tag = have > 0 ? await readTag(part) : undefined
  const idle = new AbortController()
  const signals = options.signal ? [options.signal, idle.signal] : [idle.signal]
  let timer = setTimeout(() => idle.abort(), idleMs)
  const alive = (): void => {
    clearTimeout(timer)
    timer = setTimeout(() => idle.abort(), idleMs)
  }
  let file: FileHandle | undefined
  try {
    const response = await fetch(url, {
      headers: {
        'accept-encoding': 'identity',
        ...(have > 0 && { range: `bytes=${have}-` }),
        ...(tag !== undefined && { 'if-range': tag }),
      },
      signal: AbortSignal.any(signals),
    })
    if (response.status === 416) {
      // The part is whole, or longer than the file: its hash decides, or the next try from the start.
      await response.body?.cancel()
      const whole = Number(/\/(\d+)$/.exec(response.headers.get('content-range') ?? '')?.[1])
      if (whole === have) return true
      await forget(part)
      throw new Broken('a part that does not fit')
    }
    if (!response.ok) {
      await response.body?.cancel()
      throw refused(options, response.status)
    }
    const begin = response.status === 206 ? startOf(response) : 0
    if (begin !== 0 && begin !== have) {
      await response.body?.cancel()
      await forget(part)
      throw new Broken(`bytes from ${begin} instead of ${have}`)
    }
    have = begin
    await writeTag(part, response)
    const length = response.headers.get('content-length')
    const total =
      length === null || response.headers.has('content-encoding') ? undefined : have + Number(length)
    if (size !== undefined && total !== undefined && total !== size)
      throw mismatch(options, resolve(options.to), `a file of ${total} bytes`, 'Check the address.')
    file = await open(part, begin > 0 ? 'a' : 'w')
    for await (const piece of response.body ?? []) {
      alive()
      have += piece.length
      if (have > maxBytes)
        throw mismatch(options, resolve(options.to), `more than ${maxBytes} bytes`, 'Check the address.')
      await file.writeFile(piece)
      onProgress?.(have, total ?? size)
    }
    await file.sync()
    const expected = total ?? size
    if (expected !== undefined && have < expected) throw new Broken(`${have} of ${expected} bytes`)
    return begin > 0
  } catch (error) {
    if (error instanceof VqError || error instanceof Broken) {
      if (error instanceof VqFormatError) await forget(part)
      throw error
    }
    // The disk's failures name the call; the network's are of fetch, with the reason as their cause.
    if ((error as NodeJS.ErrnoException).syscall !== undefined) throw unwritable(options, error)
    throw new Broken(idle.signal.aborted ? `nothing for ${idleMs} ms` : reasonOf(error), { cause: error })
  } finally {
    clearTimeout(timer)
    await file?.close()
  }
}

function startOf(response: Response): number {
  return Number(/^bytes (\d+)-/.exec(response.headers.get('content-range') ?? '')?.[1] ?? Number.NaN)
}

// The validator of the version that a part belongs to, beside it.
async function writeTag(part: string, response: Response): Promise<void> {
  const etag = response.headers.get('etag')
  const tag = etag?.startsWith('"') ? etag : response.headers.get('last-modified')
  const file = await open(`${part}.tag`, 'w')
  try {
    await file.writeFile(tag ?? '')
  } finally {
    await file.close()
  }
}

async function readTag(part: string): Promise<string | undefined> {
  const file = await open(`${part}.tag`, 'r').catch(() => undefined)
  if (file === undefined) return undefined
  try {
    const text = (await file.readFile('utf8')).trim()
    return text === '' || /[^\x20-\x7e]/.test(text) ? undefined : text
  } finally {
    await file.close()
  }
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

/** "a.gz (1,234 bytes, md5 0f…)": what a user would have to fetch. */
export function describeFile({ url, sha256, md5, size }: DownloadOptions): string {
  const facts = [
    size === undefined ? undefined : `${size.toLocaleString('en-US')} bytes`,
    sha256 === undefined ? undefined : `sha256 ${sha256}`,
    md5 === undefined ? undefined : `md5 ${md5}`,
  ].filter(fact => fact !== undefined)
  return `${url}${facts.length > 0 ? ` (${facts.join(', ')})` : ''}`
}

function reasonOf(error: unknown): string {
  const { cause, message } = error as Error & { cause?: NodeJS.ErrnoException }
  return cause?.code ?? cause?.message ?? message
}

function unreachable(options: DownloadOptions, target: string, cause: Broken): VqDeviceError {
  return new VqDeviceError({
    operation: 'download',
    expected: `${new URL(options.url).host} to answer`,
    received: cause.message,
    remedy: `Fetch ${describeFile(options)} on another machine and put it into ${dirname(target)} as ${basename(target)}; or call again, which goes on where it stopped.`,
    cause,
  })
}

function refused(options: DownloadOptions, status: number): Error {
  if (status >= 500 || status === 408 || status === 429) return new Broken(`status ${status}`)
  return new VqConfigError({
    operation: 'download',
    expected: `${options.url} to be there`,
    received: `status ${status}`,
    remedy: 'Check the address, and whether it asks for a password.',
  })
}

function mismatch(options: DownloadOptions, target: string, received: string, remedy: string): VqFormatError {
  return new VqFormatError({
    operation: 'download',
    expected: `${target} to be ${describeFile(options)}`,
    received,
    remedy,
  })
}

function unwritable(options: DownloadOptions, cause: unknown): VqFormatError {
  return new VqFormatError({
    operation: 'download',
    expected: `${resolve(options.to)} to be a place that can be written to`,
    received: (cause as NodeJS.ErrnoException).code ?? String(cause),
    remedy: 'Free space on the disk, or check the path and its permissions; then call again to go on.',
    cause,
  })
}

function aborted(signal: AbortSignal): VqAbortError {
  return new VqAbortError('download', signal.reason, 'Call again to go on where it stopped.')
}
