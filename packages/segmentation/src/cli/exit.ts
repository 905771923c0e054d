import { VqError } from '@vq/core'

/** Exit codes: 1 a failure, 2 a wrong command line; an interruption brings its own. */
export const exitCode = { failure: 1, usage: 2 } as const

/** What a person reads about an error: one paragraph, no stack unless VQ_DEBUG is set. */
export function explain(error: unknown): string {
  const { message, code, stack } = error as NodeJS.ErrnoException
  if (process.env.VQ_DEBUG) return stack ?? String(error)
  // Errors of the operating system name their file and are no bugs.
  const known = error instanceof VqError || (typeof code === 'string' && /^E[A-Z0-9]+$/.test(code))
  if (known) return `vq-segment: ${message}`
  return `vq-segment: unexpected error: ${message ?? String(error)}\nSet VQ_DEBUG=1 to see where it happened.`
}
