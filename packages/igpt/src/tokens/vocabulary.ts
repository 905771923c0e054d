import { expectInteger, expectShape, VqValueError } from '@vq/core'

export interface VocabularyOptions {
  /** Codes of each level of an image's place: one entry for a plain codebook, several for residual levels. */
  codebookSizes: readonly number[]
  /** Codebook sizes of the codes of an image as a whole, which come before those of its places. Default: none. */
  wholeSizes?: readonly number[]
  /** Number of words. */
  words: number
  /** Places of an image, such as 49 of 7 × 7. */
  places: number
  /** Words of a text. Shorter texts are filled up. */
  textLength: number
  /** In which order the codes of an image come: all levels of a place, then the next place (RQ-Transformer), or all places of a level. Default 'depth'. */
  order?: 'depth' | 'level'
}

/**
 * Ids of all tokens: codes of images, each level with a range of its own, then words, then special tokens. No two share an id.
 *
 * Sequences are `bos eoi text… eot image…` (text first: what asks for an image) and `bos eot image… eoi text…` (image first).
 */
export class Vocabulary {
  readonly codebookSizes: readonly number[]
  readonly wholeSizes: readonly number[]
  readonly words: number
  readonly places: number
  readonly textLength: number
  readonly order: 'depth' | 'level'
  /** Begins every sequence. */
  readonly bos: number
  /** Stands where an image ends, or is left out. */
  readonly endOfImage: number
  /** Stands where a text ends, or is left out. */
  readonly endOfText: number
  /** Behind the last word of a short text. */
  readonly pad: number
  /** In the place of each word where a sequence is not to know its text: guidance. */
  readonly blank: number
  /** Number of ids. */
  readonly size: number
  // First ids: of the codes of the whole, then of the levels of a place.
  private readonly firsts: readonly number[]
  private readonly firstWord: number

  constructor(options: VocabularyOptions) {
    const { codebookSizes, wholeSizes = [], words, places, textLength, order = 'depth' } = options
    for (const size of codebookSizes) expectInteger('Vocabulary', 'codebookSizes', size, 1)
    for (const size of wholeSizes) expectInteger('Vocabulary', 'wholeSizes', size, 1)
    expectInteger('Vocabulary', 'the number of codebookSizes', codebookSizes.length, 1)
    expectInteger('Vocabulary', 'words', words, 1)
    expectInteger('Vocabulary', 'places', places, 1)
    expectInteger('Vocabulary', 'textLength', textLength, 1)
    this.codebookSizes = [...codebookSizes]
    this.wholeSizes = [...wholeSizes]
    this.words = words
    this.places = places
    this.textLength = textLength
    this.order = order
    let next = 0
    this.firsts = [...wholeSizes, ...codebookSizes].map(size => {
      const first = next
      next += size
      return first
    })
    this.firstWord = next
    next += words
    this.bos = next
    this.endOfImage = next + 1
    this.endOfText = next + 2
    this.pad = next + 3
    this.blank = next + 4
    this.size = next + 5
  }

  /** Tokens of an image. */
  get imageLength(): number {
    return this.wholeSizes.length + this.places * this.codebookSizes.length
  }

  /** Tokens of a sequence: bos, two ends, an image and a text. */
  get sequenceLength(): number {
    return 3 + this.imageLength + this.textLength
  }

  /** Ids that may stand at token `at` of an image: [first, last + 1). */
  imageRange(at: number): readonly [number, number] {
    const level = this.levelAt(at)
    const first = this.firsts[level] as number
    const size = this.wholeSizes[level] ?? this.codebookSizes[level - this.wholeSizes.length]
    return [first, first + (size as number)]
  }

  /** Ids of words: [first, last + 1); a text may also be filled up with `pad`. */
  get wordRange(): readonly [number, number] {
    return [this.firstWord, this.firstWord + this.words]
  }

  /**
   * Codes of an image as ids in the order of sequences: those of the whole, then [places · levels], place by place. Throws
   * VqShapeError, VqValueError.
   */
  imageIds(codes: ArrayLike<number>): Int32Array {
    const { imageLength, places } = this
    const whole = this.wholeSizes.length
    expectShape(
      codes.length === imageLength,
      'Vocabulary.imageIds',
      `${whole > 0 ? `${whole} + ` : ''}${places} × ${this.codebookSizes.length} codes`,
      `${codes.length}`,
      'Pass the codes of one image, place by place.',
    )
    return Int32Array.from({ length: imageLength }, (_, at) => {
      const code = codes[this.placeOf(at)] as number
      const [first, end] = this.imageRange(at)
      if (Number.isInteger(code) && code >= 0 && code < end - first) return first + code
      throw new VqValueError({
        operation: 'Vocabulary.imageIds',
        expected: `codes from 0 to ${end - first - 1} at ${at < whole ? `code ${at} of the whole` : `level ${this.levelAt(at) - whole}`}`,
        received: String(code),
        remedy: 'Pass the codes of the quantizer that the vocabulary was made for.',
      })
    })
  }

  /** The way back: ids of an image in the order of sequences as codes, place by place. */
  imageCodes(ids: ArrayLike<number>): Int32Array {
    const codes = new Int32Array(this.imageLength)
    for (let at = 0; at < this.imageLength; at++)
      codes[this.placeOf(at)] = (ids[at] as number) - (this.firsts[this.levelAt(at)] as number)
    return codes
  }

  /** Numbers of words as ids, filled up to `textLength`. Throws VqShapeError for longer texts. */
  textIds(words: ArrayLike<number>): Int32Array {
    expectShape(
      words.length <= this.textLength,
      'Vocabulary.textIds',
      `at most ${this.textLength} words`,
      `${words.length}`,
      'Shorten the text, or make the vocabulary for longer ones.',
    )
    const ids = new Int32Array(this.textLength).fill(this.pad)
    for (let i = 0; i < words.length; i++) ids[i] = this.firstWord + (words[i] as number)
    return ids
  }

  /** Numbers of the words among ids. */
  textWords(ids: ArrayLike<number>): Int32Array {
    const [first, end] = this.wordRange
    return Int32Array.from(ids)
      .filter(id => id >= first && id < end)
      .map(id => id - first)
  }

  /** What comes before the tokens of an image that a text asks for; without a text its words are blank. */
  promptForImage(textIds?: ArrayLike<number>): Int32Array {
    const text =
      textIds === undefined ? new Int32Array(this.textLength).fill(this.blank) : Int32Array.from(textIds)
    return Int32Array.of(this.bos, this.endOfImage, ...text, this.endOfText)
  }

  /** What comes before the words that tell of an image. */
  promptForText(imageIds: ArrayLike<number>): Int32Array {
    return Int32Array.of(this.bos, this.endOfText, ...Array.from(imageIds), this.endOfImage)
  }

  /** A whole sequence and, of each token, what it is part of (0 special, 1 image, 2 text). */
  sequence(
    imageIds: ArrayLike<number>,
    textIds: ArrayLike<number>,
    textFirst: boolean,
  ): { ids: Int32Array; parts: Int32Array } {
    const [image, text] = [Array.from(imageIds), Array.from(textIds)]
    const ids = textFirst
      ? Int32Array.of(this.bos, this.endOfImage, ...text, this.endOfText, ...image)
      : Int32Array.of(this.bos, this.endOfText, ...image, this.endOfImage, ...text)
    const kinds = (n: number, kind: number): number[] => new Array<number>(n).fill(kind)
    const parts = textFirst
      ? [0, 0, ...kinds(text.length, 2), 0, ...kinds(image.length, 1)]
      : [0, 0, ...kinds(image.length, 1), 0, ...kinds(text.length, 2)]
    return { ids, parts: Int32Array.from(parts) }
  }

  // Which codebook token `at` is of, counted through those of the whole and the levels.
  private levelAt(at: number): number {
    const whole = this.wholeSizes.length
    if (at < whole) return at
    const inside = at - whole
    return (
      whole + (this.order === 'depth' ? inside % this.codebookSizes.length : Math.floor(inside / this.places))
    )
  }

  // Where the code of token `at` stands among codes place by place.
  private placeOf(at: number): number {
    const inside = at - this.wholeSizes.length
    if (this.order === 'depth' || inside < 0) return at
    const levels = this.codebookSizes.length
    return at - inside + (inside % this.places) * levels + Math.floor(inside / this.places)
  }
}
