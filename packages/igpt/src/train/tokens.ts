import { tf, VqAbortError, VqConfigError } from '@vq/core'
import { BaseDataset, type Dataset, type Extras } from '@vq/models/data'
import { part } from '../model/index.js'
import type { TextTokenizer } from '../tokens/text-tokenizer.js'
import type { Vocabulary } from '../tokens/vocabulary.js'

/**
 * Whatever turns images [B, H, W, C] into codes int32 [B, h, w] or [B, h, w, L], with or without codes [B, S] of the image as a
 * whole: a VQVAE, an RQVAE, a StyleVQVAE.
 */
export interface ImageEncoder {
  encodeToIndices(x: tf.Tensor): tf.Tensor | { style: tf.Tensor; content: tf.Tensor }
}

/** Codes of all images of a data set, [N, whole + places · levels], place by place: made once and kept. */
export interface ImageTokens {
  codes: Int32Array
  count: number
  /** Rows and columns of places. */
  grid: readonly [number, number]
  levels: number
  /** Codes of the image as a whole, which come first. */
  whole: number
}

const batch = 100

/** Encodes every image of a data set. `pixels` says how values of 0 to 1 go to the encoder. */
export async function imageTokens(
  encoder: ImageEncoder,
  images: Dataset,
  { pixels = 'unit', signal }: { pixels?: 'unit' | 'signed'; signal?: AbortSignal | undefined } = {},
): Promise<ImageTokens> {
  let codes: Int32Array | undefined
  let found: Pick<ImageTokens, 'grid' | 'levels' | 'whole'> | undefined
  for (let first = 0; first < images.length; first += batch) {
    if (signal?.aborted) throw new VqAbortError('imageTokens', signal.reason)
    const n = Math.min(batch, images.length - first)
    const values = await images.batch(Int32Array.from({ length: n }, (_, i) => first + i))
    const { style, content } = tf.tidy((): { style?: tf.Tensor; content: tf.Tensor } => {
      const x = tf.tensor(values, [n, ...images.shape])
      const made = encoder.encodeToIndices(pixels === 'signed' ? signed(x) : x)
      return made instanceof tf.Tensor ? { content: made } : made
    })
    const [, height = 1, width = 1, levels = 1] = content.shape
    const [whole, rest] = [style?.shape[1] ?? 0, height * width * levels]
    codes ??= new Int32Array(images.length * (whole + rest))
    found ??= { grid: [height, width], levels, whole }
    const [ofWhole, ofPlaces] = [style?.dataSync(), content.dataSync()]
    for (let i = 0; i < n; i++) {
      const at = (first + i) * (whole + rest)
      if (ofWhole !== undefined) codes.set(ofWhole.subarray(i * whole, (i + 1) * whole), at)
      codes.set(ofPlaces.subarray(i * rest, (i + 1) * rest), at + whole)
    }
    tf.dispose([content, ...(style === undefined ? [] : [style])])
  }
  if (codes === undefined || found === undefined)
    throw new VqConfigError({
      operation: 'imageTokens',
      expected: 'at least one image',
      received: 'none',
      remedy: 'Pass a data set that holds some.',
    })
  return { codes, count: images.length, ...found }
}

/** Images of values 0 to 1 as −1 to 1. */
export function signed(x: tf.Tensor): tf.Tensor {
  return tf.sub(tf.mul(x, 2), 1)
}

export interface SequenceOptions {
  vocabulary: Vocabulary
  tokenizer: TextTokenizer
  /** Of every so many texts the words are blank, for guidance; 0: of none. Default 10. */
  blankEvery?: number
  /** How much a word counts in the loss where it tells of an image, beside a code. Default 1. */
  textWeight?: number
  /** How much a code of an image as a whole counts, beside one of a place. Default 1. */
  wholeWeight?: number
}

/**
 * The sequences of images and their captions, both orders of each: the first half of the samples have the text first. `parts` says
 * what each token belongs to, `weights` how much it counts.
 */
export function pairSequences(
  tokens: ImageTokens,
  captions: readonly string[],
  options: SequenceOptions,
): Dataset<Int32Array> {
  return new PairSequences(tokens, captions, options)
}

class PairSequences extends BaseDataset<Int32Array> {
  readonly length: number
  readonly shape: readonly number[]
  readonly dtype = 'int32'
  private readonly tokens: ImageTokens
  private readonly words: readonly Int32Array[]
  private readonly options: Required<SequenceOptions>

  constructor(tokens: ImageTokens, captions: readonly string[], options: SequenceOptions) {
    super()
    if (captions.length !== tokens.count)
      throw new VqConfigError({
        operation: 'pairSequences',
        expected: `${tokens.count} captions`,
        received: `${captions.length}`,
        remedy: 'Pass one per image.',
      })
    const { vocabulary, tokenizer } = options
    this.tokens = tokens
    this.options = { blankEvery: 10, textWeight: 1, wholeWeight: 1, ...options }
    this.words = captions.map(caption => vocabulary.textIds(tokenizer.encode(caption)))
    this.length = 2 * tokens.count
    this.shape = [vocabulary.sequenceLength]
  }

  // Blank words are given, never foretold.
  private row(number: number): { ids: Int32Array; parts: Int32Array; textFirst: boolean; blank: boolean } {
    const { codes, count } = this.tokens
    const { vocabulary, blankEvery } = this.options
    const [i, textFirst, each] = [number % count, number < count, codes.length / count]
    const blank = textFirst && blankEvery > 0 && i % blankEvery === blankEvery - 1
    const image = vocabulary.imageIds(codes.subarray(i * each, (i + 1) * each))
    const words = this.words[i] as Int32Array
    const text = blank ? new Int32Array(words.length).fill(vocabulary.blank) : words
    return { ...vocabulary.sequence(image, text, textFirst), textFirst, blank }
  }

  protected read(indices: Int32Array): Int32Array {
    const [length] = this.shape as [number]
    const ids = new Int32Array(indices.length * length)
    for (const [n, number] of indices.entries()) ids.set(this.row(number).ids, n * length)
    return ids
  }

  extras(indices: Int32Array): Extras {
    const [length] = this.shape as [number]
    const { vocabulary, textWeight, wholeWeight } = this.options
    const whole = vocabulary.wholeSizes.length
    const parts = new Int32Array(indices.length * length)
    const weights = new Float32Array(parts.length).fill(1)
    for (const [n, number] of indices.entries()) {
      const row = this.row(number)
      const firstCode = row.parts.indexOf(part.image)
      for (let at = 0; at < length; at++) {
        const isWord = row.parts[at] === part.text
        parts[n * length + at] = row.blank && isWord ? part.special : (row.parts[at] as number)
        if (row.ids[at] === vocabulary.blank) weights[n * length + at] = 0
        else if (isWord && !row.textFirst) weights[n * length + at] = textWeight
        else if (at >= firstCode && at < firstCode + whole) weights[n * length + at] = wholeWeight
      }
    }
    const shape = [indices.length, length]
    return { parts: { values: parts, shape }, weights: { values: weights, shape } }
  }
}
