import { printable, shortened } from './html.js'
import type { Preview } from './input.js'

/** What the page holds of an item: the number of its picture, its text. */
export interface Shown {
  /** Place in `Thumbnails.pictures`; −1 where it has none. */
  picture: number
  text: string
}

export interface ThumbnailOptions {
  /** Longer side in pixels; smaller pictures stay as they are. */
  edge: number
  /** Bytes of all pictures as they stand in the page. */
  budget: number
  /** Letters of a text. */
  letters: number
}

/** A text, and a data URI; `uri: undefined` where a picture could not be made. */
export interface Prepared {
  text: string
  uri?: string | undefined
}

/** Pictures as data URIs, each once however often it is shown, as long as there is room for them. */
export class Thumbnails {
  readonly pictures: string[] = []
  unreadable = 0
  leftOut = 0
  readonly #options: ThumbnailOptions
  readonly #places = new Map<string, number>()
  #used = 0

  constructor(options: ThumbnailOptions) {
    this.#options = options
  }

  /** Makes the picture; nothing is kept yet. */
  async prepare(preview: Preview | undefined): Promise<Prepared> {
    if (preview === undefined) return { text: '' }
    const { letters, edge } = this.#options
    if (preview.kind === 'text') return { text: printable(shortened(preview.text.trim(), letters)) }
    const text = printable(shortened(preview.caption?.trim() ?? '', letters))
    // Nothing more is made where there is no more room.
    return { text, uri: this.#full() ? undefined : await thumbnail(preview.bytes, edge) }
  }

  /** Keeps what `prepare` made, if there is room. */
  admit(prepared: Prepared): Shown {
    return { picture: 'uri' in prepared ? this.#placeOf(prepared.uri) : -1, text: prepared.text }
  }

  #full(): boolean {
    return this.#used >= this.#options.budget
  }

  #placeOf(uri: string | undefined): number {
    const known = uri === undefined ? undefined : this.#places.get(uri)
    if (known !== undefined) return known
    if (this.#full()) this.leftOut++
    else if (uri === undefined) this.unreadable++
    if (this.#full() || uri === undefined) return -1
    this.#used += uri.length
    this.#places.set(uri, this.pictures.length)
    return this.pictures.push(uri) - 1
  }
}

async function thumbnail(bytes: Uint8Array, edge: number): Promise<string | undefined> {
  const { default: sharp } = await import('sharp')
  try {
    const small = await sharp(bytes)
      .rotate()
      .resize(edge, edge, { fit: 'inside', withoutEnlargement: true })
      .flatten({ background: '#ffffff' })
      .webp({ quality: 74, effort: 4 })
      .toBuffer()
    return `data:image/webp;base64,${small.toString('base64')}`
  } catch {
    return undefined
  }
}
