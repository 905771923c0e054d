import { VqError } from '@vq/core'

/** Exit codes: 1 a failure, 2 a wrong command line, 130 interrupted, 143 terminated. */
export const exitCode = { failure: 1, usage: 2 } as const

/** What a person reads about an error: one paragraph, no stack unless VQ_DEBUG is set. */
export function explain(error: unknown): string {
  if (process.env.VQ_DEBUG) return error instanceof Error ? (error.stack ?? String(error)) : String(error)
  if (error instanceof VqError) return `vq: ${error.message}`
  const { message, code } = error as NodeJS.ErrnoException
  // Errors of the operating system name their file and are no bugs.
  if (typeof code === 'string' && /^E[A-Z0-9]+$/.test(code)) return `vq: ${message}`
  return `vq: unexpected error: ${message ?? String(error)}\nSet VQ_DEBUG=1 to see where it happened.`
}
