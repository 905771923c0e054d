/** What NumPy's headers are written in: Python's strings, whole numbers, True, False, None, tuples, lists and dictionaries. */
export type Literal = string | number | boolean | null | Literal[] | Map<string, Literal>

const deepest = 8
const words: Readonly<Record<string, boolean | null>> = { True: true, False: false, None: null }

/** Thrown by `parseLiteral`, with what was expected; callers turn it into an error that names the file. */
export class LiteralError extends Error {}

/** Parses one literal that takes the whole text; nothing is evaluated. Whole numbers are safe integers. */
export function parseLiteral(text: string): Literal {
  const parser = new Parser(text)
  const value = parser.value(0)
  parser.end()
  return value
}

class Parser {
  private readonly text: string
  private at = 0

  constructor(text: string) {
    this.text = text
  }

  value(depth: number): Literal {
    if (depth > deepest) throw this.error(`no more than ${deepest} levels`)
    this.space()
    const first = this.text[this.at]
    if (first === "'" || first === '"') return this.string(first)
    if (first === '(') return this.list(')', depth)
    if (first === '[') return this.list(']', depth)
    if (first === '{') return this.dictionary(depth)
    return this.word()
  }

  end(): void {
    this.space()
    if (this.at < this.text.length) throw this.error('nothing more')
  }

  private word(): number | boolean | null {
    const [word] = /^-?\w+/.exec(this.text.slice(this.at, this.at + 40)) ?? ['']
    if (Object.hasOwn(words, word)) {
      this.at += word.length
      return words[word]
    }
    // Python 2 wrote long numbers as 10L.
    const number = Number(word.replace(/L$/, ''))
    if (!/^(0|-?[1-9]\d*)L?$/.test(word) || !Number.isSafeInteger(number)) throw this.error('a value')
    this.at += word.length
    return number
  }

  private string(quote: string): string {
    const from = this.at + 1
    const to = this.text.indexOf(quote, from)
    const found = this.text.slice(from, to)
    if (to < 0 || found.includes('\n')) throw this.error('a string that ends')
    // No name or type that we read needs an escape.
    if (found.includes('\\')) throw this.error('a string without backslashes')
    this.at = to + 1
    return found
  }

  private list(close: string, depth: number): Literal {
    const items: Literal[] = []
    let commas = 0
    this.at++
    while (!this.take(close)) {
      if (commas < items.length) throw this.error(`, or ${close}`)
      items.push(this.value(depth + 1))
      if (this.take(',')) commas++
    }
    // (3) is a number in brackets, (3,) a tuple.
    return close === ')' && items.length === 1 && commas === 0 ? items[0] : items
  }

  private dictionary(depth: number): Map<string, Literal> {
    const items = new Map<string, Literal>()
    let commas = 0
    this.at++
    while (!this.take('}')) {
      if (commas < items.size) throw this.error(', or }')
      const key = this.value(deepest)
      if (typeof key !== 'string' || items.has(key)) throw this.error('a new string as key')
      if (!this.take(':')) throw this.error(':')
      items.set(key, this.value(depth + 1))
      if (this.take(',')) commas++
    }
    return items
  }

  private take(sign: string): boolean {
    this.space()
    if (this.text[this.at] !== sign) return false
    this.at++
    return true
  }

  private space(): void {
    while (' \t\n\r\f'.includes(this.text[this.at] ?? '-')) this.at++
  }

  private error(expected: string): LiteralError {
    return new LiteralError(`${expected} at ${this.at}`)
  }
}
