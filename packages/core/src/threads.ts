import { expectInteger } from './check.js'
import { tryNative } from './native.js'

let chosen: number | undefined

/** Threads that calls and kernels use; at first as many as the machine has cores. */
export function threadCount(): number {
  return chosen ?? tryNative()?.maxThreads ?? 1
}

export function setThreadCount(threads: number): void {
  expectInteger('device.threads', 'threads', threads, 1, 1024)
  chosen = threads
  tryNative()?.setThreads(threads)
}
