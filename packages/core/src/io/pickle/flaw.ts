/** What is wrong with a pickle, before it is known which file it is from. */
export class Flaw extends Error {
  readonly expected: string
  readonly received: string
  readonly remedy: string | undefined

  constructor(expected: string, received: string, remedy?: string) {
    super(`expected ${expected}, received ${received}`)
    this.expected = expected
    this.received = received
    this.remedy = remedy
  }
}

/** The bytes ended before the pickle did. */
export class Cut extends Flaw {}
