import { VqAbortError } from '@vq/core'

/** Ctrl-C and what `kill` sends, with the exit codes that shells give to a process which they end. */
const codes = { SIGINT: 130, SIGTERM: 143 } as const
export type Signal = keyof typeof codes

/** Training was ended from outside, after the step in progress and, with `out`, a checkpoint. `name` is `AbortError`. */
export class TrainingInterrupted extends VqAbortError {
  /** The signal of the system; undefined where an AbortSignal ended it. */
  readonly signal: Signal | undefined
  /** What a program should exit with: 130 after SIGINT, 143 after SIGTERM, else 1. */
  readonly exitCode: number
  /** The last step taken. */
  readonly step: number

  constructor(step: number, signal: Signal | undefined, cause: unknown, remedy: string) {
    super('Trainer.fit', cause, remedy)
    this.signal = signal
    this.exitCode = signal === undefined ? 1 : codes[signal]
    this.step = step
  }
}

/**
 * Listens for SIGINT and SIGTERM until `stop`. The first one is remembered in `received`; with it the listeners go, so
 * that a second one does what it would do without us: by default it ends the process at once.
 */
export class Interrupts {
  received: Signal | undefined
  private readonly listeners = new Map<Signal, () => void>()

  constructor(listen: boolean) {
    if (!listen) return
    for (const signal of Object.keys(codes) as Signal[]) {
      const listener = (): void => {
        this.received = signal
        this.stop()
        process.stderr.write(`\n${signal}: stopping after this step; once more ends at once.\n`)
      }
      this.listeners.set(signal, listener)
      process.on(signal, listener)
    }
  }

  stop(): void {
    for (const [signal, listener] of this.listeners) process.off(signal, listener)
    this.listeners.clear()
  }
}

/** What `interruptible` watches. */
export interface Interruption {
  /** Aborts with the first signal. */
  signal: AbortSignal
  /** What the program should exit with once a signal came: 130 after SIGINT, 143 after SIGTERM. */
  code(): number | undefined
  /** Listens no more. */
  stop(): void
}

/** For commands: turns the first Ctrl-C or SIGTERM into an abort, so that work can be saved; the second one ends the process at once. */
export function interruptible(): Interruption {
  const controller = new AbortController()
  let code: number | undefined
  const onSignal = (name: NodeJS.Signals): void => {
    if (code !== undefined) process.exit(code)
    code = codes[name as Signal]
    process.stderr.write('\nStopping after this step; once more to quit at once.\n')
    controller.abort(name)
  }
  for (const name of Object.keys(codes)) process.on(name, onSignal)
  return {
    signal: controller.signal,
    code: () => code,
    stop: () => {
      for (const name of Object.keys(codes)) process.off(name, onSignal)
    },
  }
}
