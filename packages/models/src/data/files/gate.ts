/** Lets at most `limit` pieces of work run at once, whoever asks; the others wait in the order in which they came. */
export class Gate {
  private free: number
  private readonly waiting: (() => void)[] = []

  constructor(limit: number) {
    this.free = limit
  }

  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.free > 0) this.free--
    else await new Promise<void>(resolve => this.waiting.push(resolve))
    try {
      return await work()
    } finally {
      // The place goes over to the next one in line.
      const next = this.waiting.shift()
      if (next === undefined) this.free++
      else next()
    }
  }
}
