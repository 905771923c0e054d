// Steps it takes for the estimate of a step's time to forget half of what it knew.
const halfLife = 50
// Longest time in milliseconds between two turns of the event loop.
const turn = 20

export interface Estimate {
  imagesPerSecond: number
  secondsLeft: number
}

/**
 * Speed, time left, time spent waiting for data, and turns of the event loop. The time of a step is averaged over the
 * last steps; what is done between steps, such as evaluation, counts by its share of the whole run. Both are of this
 * process alone, so that a resumed run starts with no wrong idea.
 */
export class Pace {
  private readonly start = performance.now()
  private readonly firstStep: number
  private lastTurn: number = performance.now()
  private samples = 0
  // Of steps: an exponential average and its weight.
  private average = 0
  private weight = 0
  private between = 0
  private ended: number = this.start
  private waiting = 0
  private sinceLine = { at: this.start, waiting: 0 }

  constructor(firstStep: number) {
    this.firstStep = firstStep
  }

  /** Counts the time until `wait` is settled as waiting for data. */
  async forData<T>(wait: Promise<T>): Promise<T> {
    const from = performance.now()
    try {
      return await wait
    } finally {
      this.waiting += performance.now() - from
    }
  }

  /** A step begins: what came before it since the last one lay between them. */
  begin(): void {
    const now = performance.now()
    this.between += now - this.ended
    this.ended = now
  }

  /** The step that began is over. */
  end(samples: number): void {
    const now = performance.now()
    const keep = 0.5 ** (1 / halfLife)
    this.average = keep * this.average + (1 - keep) * (now - this.ended)
    this.weight = keep * this.weight + (1 - keep)
    this.ended = now
    this.samples += samples
  }

  /** Milliseconds since the beginning. */
  private get elapsed(): number {
    return performance.now() - this.start
  }

  get seconds(): number {
    return this.elapsed / 1000
  }

  get imagesPerSecond(): number {
    return this.samples / this.seconds
  }

  estimate(step: number, totalSteps: number): Estimate {
    const perStep = this.average / this.weight + this.between / (step - this.firstStep)
    return { imagesPerSecond: this.imagesPerSecond, secondsLeft: (perStep * (totalSteps - step)) / 1000 }
  }

  /** Share of the time so far that was spent waiting for data, 0 to 1. */
  get dataWait(): number {
    return this.waiting / this.elapsed
  }

  /** The same since it was last asked for. */
  takeDataWait(): number {
    const { at, waiting } = this.sinceLine
    this.sinceLine = { at: performance.now(), waiting: this.waiting }
    return (this.waiting - waiting) / Math.max(1e-9, this.sinceLine.at - at)
  }

  /** Lets the event loop turn, at most every so often: signals and decoded images arrive there. */
  async breathe(): Promise<void> {
    if (performance.now() - this.lastTurn < turn) return
    await this.forData(new Promise(resolve => setImmediate(resolve)))
    this.lastTurn = performance.now()
  }
}
