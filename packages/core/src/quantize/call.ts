import { expectConfig, expectInteger } from '../check.js'
import { discard } from '../cuda/device-array.js'
import { fromNative, VqAbortError, VqValueError } from '../errors.js'
import { type NativeCore, native } from '../native.js'
import { threadCount } from '../threads.js'
import type { RunningCall } from './native.js'

/** Options of every call. */
export interface CallOptions {
  /** Threads that the call may use. Default `device.threads`. The result does not depend on it. */
  threads?: number
  /**
   * Where the call computes; the result is the same to the bit (but see {@link emaUpdate} on large codes and {@link lfqEntropyRows}). Default: 'cuda' where one of the arrays is a DeviceArray,
   * else 'cpu'. 'cuda' throws a VqDeviceError with the reason where there is no GPU; typed arrays travel there and back,
   * the vectors of `nearest`, `residualEncode` and `kmeans` in blocks where they would take more than half of its free memory.
   */
  device?: 'cpu' | 'cuda'
}

/** Options of calls that run off the main thread. */
export interface AsyncCallOptions extends CallOptions {
  /** Ends the call early with an AbortError. */
  signal?: AbortSignal
}

/** Runs a native function here and now. */
export function callNow<T>(
  operation: string,
  options: CallOptions,
  f: (core: NativeCore, threads: number) => unknown,
): T {
  const threads = threadsOf(operation, options)
  const core = native()
  try {
    return f(core, threads) as T
  } catch (error) {
    throw quantizeError(operation, error)
  }
}

/**
 * Runs a native function on another thread. The addon copies its inputs first, so the caller's buffers are free at once.
 * `finish` makes the result of what native code left; the call ends with it, or with nothing left on a device.
 */
export async function callAsync<T, R = T>(
  operation: string,
  options: AsyncCallOptions,
  f: (core: NativeCore, threads: number) => unknown,
  finish: (found: T) => R = found => found as unknown as R,
): Promise<R> {
  const { signal } = options
  expectSignal(operation, signal)
  if (signal?.aborted) throw new VqAbortError(operation, signal.reason)
  const running = callNow<RunningCall>(operation, options, f)
  const abort = (): void => running.abort()
  signal?.addEventListener('abort', abort, { once: true })
  try {
    const result = finish((await running.promise) as T)
    // Aborted after the last look of the native code: the caller no longer wants it.
    if (signal?.aborted) {
      discard(result)
      throw new VqAbortError(operation, signal.reason)
    }
    return result
  } catch (error) {
    if (error instanceof VqAbortError) throw error
    if ((error as { code?: string }).code === 'VQ_ABORT') throw new VqAbortError(operation, signal?.reason)
    throw quantizeError(operation, error)
  } finally {
    signal?.removeEventListener('abort', abort)
  }
}

/** Throws a VqConfigError unless `signal` is an AbortSignal or left out. */
export function expectSignal(operation: string, signal: unknown): asserts signal is AbortSignal | undefined {
  expectConfig(
    signal === undefined || signal instanceof AbortSignal,
    operation,
    'signal to be an AbortSignal',
    signal,
    'Pass the signal of an AbortController.',
  )
}

/** The addon's error as a typed one that says what to do about values. */
export function quantizeError(operation: string, error: unknown): unknown {
  if ((error as { code?: string } | null)?.code !== 'VQ_VALUE') return fromNative(operation, error)
  return new VqValueError({
    operation,
    expected: 'finite vectors and codes whose products fit float32, and indices inside the codebook',
    received: (error as Error).message,
    remedy: 'Remove or mend that row, or scale the data down.',
    cause: error,
  })
}

function threadsOf(operation: string, { threads }: CallOptions): number {
  if (threads === undefined) return threadCount()
  expectInteger(operation, 'threads', threads, 1, 1024)
  return threads
}
