import { damaged } from '../files/places.js'

/** The text of bytes, without a byte order mark. Throws VqFormatError where they are not UTF-8. */
export function decodeUtf8(bytes: Uint8Array, path: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    throw notUtf8(path, bytes)
  }
}

function notUtf8(path: string, bytes: Uint8Array): Error {
  // The first part that stands alone, found by halving: what comes before it is UTF-8.
  let [good, bad] = [0, bytes.length]
  while (bad - good > 1) {
    const middle = (good + bad) >> 1
    try {
      new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(0, middle), { stream: true })
      good = middle
    } catch {
      bad = middle
    }
  }
  return damaged(path, 'text', 'UTF-8', `other bytes at ${bad - 1}`)
}

/** Checks bytes piece by piece; `end` when there are no more. Both throw VqFormatError where they are not UTF-8. */
export class Utf8Check {
  private readonly decoder = new TextDecoder('utf-8', { fatal: true })
  private readonly path: string
  private at = 0

  constructor(path: string) {
    this.path = path
  }

  add(bytes: Uint8Array): void {
    this.decode(bytes, true)
    this.at += bytes.length
  }

  end(): void {
    this.decode(new Uint8Array(0), false)
  }

  private decode(bytes: Uint8Array, stream: boolean): void {
    try {
      this.decoder.decode(bytes, { stream })
    } catch {
      throw damaged(
        this.path,
        'text',
        'UTF-8',
        `other bytes between ${Math.max(0, this.at - 3)} and ${this.at + bytes.length}`,
      )
    }
  }
}
