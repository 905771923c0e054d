import { closest, expectConfig, VqValueError } from '@vq/core'

/**
 * Words as numbers, for captions of a closed language: the words of the texts, sorted, from 0 on. Words are what blanks part.
 *
 * @example
 * const tokenizer = new TextTokenizer(['light red 7 on dark blue'])
 * tokenizer.encode('dark red')   // Int32Array [2, 5]
 */
export class TextTokenizer {
  readonly words: readonly string[]
  private readonly numbers: ReadonlyMap<string, number>

  /** Throws VqConfigError where there is no word. */
  constructor(texts: Iterable<string>) {
    const found = new Set<string>()
    for (const text of texts) for (const word of wordsOf(text)) found.add(word)
    expectConfig(
      found.size > 0,
      'TextTokenizer',
      'texts with at least one word',
      [],
      'Pass the captions to learn from.',
    )
    this.words = [...found].sort()
    this.numbers = new Map(this.words.map((word, i) => [word, i]))
  }

  get size(): number {
    return this.words.length
  }

  /** Throws VqValueError for a word that the texts did not have, telling the nearest known one. */
  encode(text: string): Int32Array {
    return Int32Array.from(wordsOf(text), word => {
      const number = this.numbers.get(word)
      if (number !== undefined) return number
      throw new VqValueError({
        operation: 'TextTokenizer.encode',
        expected: `words among ${this.words.slice(0, 40).join(', ')}${this.words.length > 40 ? ', …' : ''}`,
        received: `'${word}'`,
        remedy: `Did you mean '${closest(word, this.words)}'?`,
      })
    })
  }

  decode(numbers: ArrayLike<number>): string {
    return Array.from(numbers, n => this.words[n] ?? '?').join(' ')
  }

  toJSON(): { words: readonly string[] } {
    return { words: this.words }
  }
}

function wordsOf(text: string): string[] {
  return text.split(/\s+/).filter(word => word !== '')
}
