import { VqError, VqFormatError } from '@vq/core'

/** Runs what writes to `path`; the file system's own errors become one that says what could not be written. */
export async function writing<T>(path: string, write: () => Promise<T>): Promise<T> {
  try {
    return await write()
  } catch (cause) {
    if (cause instanceof VqError) throw cause
    const { code = String(cause) } = cause as NodeJS.ErrnoException
    throw new VqFormatError({
      operation: `writing ${path}`,
      expected: 'a place that can be written to',
      received: code,
      remedy:
        code === 'ENOSPC' || code === 'EDQUOT' || code === 'EFBIG'
          ? 'Free space on the disk and resume; the checkpoints that were written stay.'
          : 'Check the path and its permissions; the checkpoints that were written stay.',
      cause,
    })
  }
}
