// What can go wrong with a download, in words that say which file is wanted where.
import { basename, dirname, resolve } from 'node:path'
import { VqAbortError, VqConfigError, VqDeviceError, VqFormatError } from '@vq/core'
import type { DownloadOptions } from './download.js'

/** A failure that another try may mend. */
export class Broken extends Error {}

/** "a.gz (1,234 bytes, md5 0f…)": what a user would have to fetch. */
export function describeFile({ url, sha256, md5, size }: DownloadOptions): string {
  const facts = [
    size === undefined ? undefined : `${size.toLocaleString('en-US')} bytes`,
    sha256 === undefined ? undefined : `sha256 ${sha256}`,
    md5 === undefined ? undefined : `md5 ${md5}`,
  ].filter(fact => fact !== undefined)
  return `${url}${facts.length > 0 ? ` (${facts.join(', ')})` : ''}`
}

export function unreachable(options: DownloadOptions, target: string, cause: Broken): VqDeviceError {
  return new VqDeviceError({
    operation: 'download',
    expected: `${new URL(options.url).host} to answer`,
    received: cause.message,
    remedy: `Fetch ${describeFile(options)} on another machine and put it into ${dirname(target)} as ${basename(target)}; or call again, which goes on where it stopped.`,
    cause,
  })
}

export function refused(options: DownloadOptions, status: number): Error {
  if (status >= 500 || status === 408 || status === 429) return new Broken(`status ${status}`)
  return new VqConfigError({
    operation: 'download',
    expected: `${options.url} to be there`,
    received: `status ${status}`,
    remedy: 'Check the address, and whether it asks for a password.',
  })
}

export function mismatch(
  options: DownloadOptions,
  target: string,
  received: string,
  remedy: string,
): VqFormatError {
  return new VqFormatError({
    operation: 'download',
    expected: `${target} to be ${describeFile(options)}`,
    received,
    remedy,
  })
}

export function unwritable(options: DownloadOptions, cause: unknown): VqFormatError {
  return new VqFormatError({
    operation: 'download',
    expected: `${resolve(options.to)} to be a place that can be written to`,
    received: (cause as NodeJS.ErrnoException).code ?? String(cause),
    remedy: 'Free space on the disk, or check the path and its permissions; then call again to go on.',
    cause,
  })
}

export function aborted(signal: AbortSignal): VqAbortError {
  return new VqAbortError('download', signal.reason, 'Call again to go on where it stopped.')
}
