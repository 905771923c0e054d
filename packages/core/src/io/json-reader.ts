/** Where JSON breaks a rule; callers turn it into an error that names the file. */
export class JsonError extends Error {
  readonly received: string

  constructor(expected: string, received: string) {
    super(expected)
    this.received = received
  }
}

const deepest = 128
// Far beyond what any file has; without bounds a hundred megabytes of names or sizes would fill the heap.
const mostNames = 1_000_000
const mostInAll = 5_000_000
const mostSizes = 1000
const literal = /true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y
const space = /[ \t\n\r]*/y
const lone = /\p{Surrogate}/u

/**
 * Reads JSON of a known form in one pass, stricter than JSON.parse: no key twice in an object, whole numbers without a sign, point
 * or exponent, no unpaired surrogates, no more than 128 levels, a million names in an object and a thousand sizes in a list. Only
 * what is asked for is kept.
 */
export class JsonReader {
  private readonly text: string
  private at = 0
  private names = 0

  constructor(text: string) {
    this.text = text
  }

  /** Whether a value of that sign is next: `{`, `[` or `"`. */
  isNext(sign: string): boolean {
    this.space()
    return this.text[this.at] === sign
  }

  /** Reads an object; `visit` reads each value. */
  object(visit: (key: string) => void): void {
    this.expect('{')
    const seen = new Set<string>()
    if (this.take('}')) return
    do {
      const key = this.string()
      if (seen.has(key)) throw new JsonError('each name once', `${JSON.stringify(key.slice(0, 80))} twice`)
      seen.add(key)
      if (seen.size > mostNames || ++this.names > mostInAll)
        throw this.error(`no more than ${mostNames} names in an object and ${mostInAll} in all`)
      this.expect(':')
      visit(key)
    } while (this.take(','))
    this.expect('}')
  }

  array(visit: () => void): void {
    this.expect('[')
    if (this.take(']')) return
    do visit()
    while (this.take(','))
    this.expect(']')
  }

  string(): string {
    this.expect('"')
    const from = this.at
    let plain = true
    for (;;) {
      const code = this.text.charCodeAt(this.at++)
      if (code === 0x22) break
      if (code >= 0x20 && code !== 0x5c) continue
      if (code !== 0x5c) throw this.error('a string that ends, without control characters')
      plain = false
      this.at++
    }
    const found = this.text.slice(from, this.at - 1)
    const value = plain ? found : this.unescaped(found)
    if (lone.test(value)) throw this.error('text without unpaired surrogates')
    return value
  }

  private unescaped(found: string): string {
    try {
      return JSON.parse(`"${found}"`)
    } catch {
      throw this.error('known escapes')
    }
  }

  /** A whole number of at least 0, written in digits alone. */
  size(): number {
    this.space()
    const from = this.at
    let value = 0
    let code = this.text.charCodeAt(this.at)
    while (code >= 48 && code <= 57) {
      value = value * 10 + code - 48
      code = this.text.charCodeAt(++this.at)
    }
    const wrong = this.at === from || (this.text[from] === '0' && this.at > from + 1)
    if (wrong || code === 0x2e || (code | 32) === 0x65 || !Number.isSafeInteger(value)) {
      this.at = from
      throw this.error('a whole number of at least 0')
    }
    return value
  }

  sizes(): number[] {
    const found: number[] = []
    this.array(() => {
      found.push(this.size())
      if (found.length > mostSizes) throw this.error(`no more than ${mostSizes} sizes`)
    })
    return found
  }

  /** Passes over any value. */
  skip(depth = 0): void {
    if (depth > deepest) throw this.error(`no more than ${deepest} levels`)
    if (this.isNext('{')) this.object(() => this.skip(depth + 1))
    else if (this.isNext('[')) this.array(() => this.skip(depth + 1))
    else if (this.isNext('"')) this.string()
    else if (!this.matches(literal)) throw this.error('a value')
  }

  end(): void {
    this.space()
    if (this.at < this.text.length) throw this.error('nothing more')
  }

  private space(): void {
    const code = this.text.charCodeAt(this.at)
    if (code <= 32) this.matches(space)
  }

  private matches(pattern: RegExp): boolean {
    pattern.lastIndex = this.at
    if (!pattern.test(this.text)) return false
    this.at = pattern.lastIndex
    return true
  }

  private take(sign: string): boolean {
    if (!this.isNext(sign)) return false
    this.at++
    return true
  }

  private expect(sign: string): void {
    if (!this.take(sign)) throw this.error(sign)
  }

  private error(expected: string): JsonError {
    const found =
      this.at < this.text.length ? JSON.stringify(this.text.slice(this.at, this.at + 20)) : 'the end'
    return new JsonError(`${expected} at character ${this.at}`, found)
  }
}
