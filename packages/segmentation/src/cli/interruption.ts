export interface Interruption {
  signal: AbortSignal
  /** The exit code once a signal came. */
  code(): number | undefined
  stop(): void
}

const codes = { SIGINT: 130, SIGTERM: 143 } as const

/** Turns the first Ctrl-C into an abort, so that work can be saved; the second one ends the process at once. */
export function interruptible(): Interruption {
  const controller = new AbortController()
  let code: number | undefined
  const onSignal = (name: NodeJS.Signals): void => {
    if (code !== undefined) process.exit(code)
    code = codes[name as keyof typeof codes]
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
