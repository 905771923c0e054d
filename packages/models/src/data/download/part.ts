// The file that is being fetched, <name>.part, and beside it <name>.part.tag: the validator of the version that it belongs to.
import { type FileHandle, open, rm, stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { VqError, VqFormatError } from '@vq/core'
import type { DownloadOptions } from './download.js'
import { Broken, mismatch, refused, unwritable } from './failures.js'

export async function sizeOf(part: string): Promise<number> {
  return (await stat(part).catch(() => undefined))?.size ?? 0
}

export async function forget(part: string): Promise<void> {
  await rm(part, { force: true })
  await rm(`${part}.tag`, { force: true })
}

/** Says whether the part began with bytes of an earlier connection. */
export async function fetchPart(options: DownloadOptions, part: string, maxBytes: number): Promise<boolean> {
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

function reasonOf(error: unknown): string {
  const { cause, message } = error as Error & { cause?: NodeJS.ErrnoException }
  return cause?.code ?? cause?.message ?? message
}
