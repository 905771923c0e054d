import * as tf from '@tensorflow/tfjs-core'
import { cpuBackendName } from './backend/register.js'
import { describe, expectOneOf } from './check.js'
import { VqDeviceError } from './errors.js'
import { nativeFailure, tryNative } from './native.js'
import { setThreadCount, threadCount } from './threads.js'

/** A device that VQ can compute on, or the reason why it cannot. */
export interface DeviceInfo {
  name: 'vq-cpu' | 'vq-cuda'
  /** Instruction set of the quantization kernels: 'scalar', 'avx2', 'avx512', 'avx512_bf16' or 'neon'. */
  isa?: string
  threads?: number
  /** Why the device cannot be used; absent where it can. */
  reason?: string
}

export type DeviceChoice = 'auto' | 'cpu' | 'cuda' | 'tensorflow'

const noCuda = 'this version of VQ has no CUDA library'
let fallbackTold = false

/** Which device tensors live on, and how many threads calls use. */
export interface Device {
  /** Every device of VQ, usable or with the reason why not. */
  list(): DeviceInfo[]
  /**
   * Makes a device the one where new tensors live; returns the backend's name. 'auto' takes the best that works and says
   * once when that is not a device of VQ's; the others throw a VqDeviceError with the reason when they cannot be had.
   */
  use(choice: DeviceChoice): Promise<string>
  /** Threads that calls and kernels use, 1 to 1024; at first the number of cores. */
  threads: number
  /** Bytes and counts of live tensors; `native` is the memory behind those of vq-cpu. */
  memory(): DeviceMemory
}

export interface DeviceMemory {
  backend: string
  tensors: number
  bytes: number
  native?: { buffers: number; bytesInUse: number; bytesCached: number; bytesPeak: number }
}

export const device: Device = {
  list() {
    const core = tryNative()
    const cpu: DeviceInfo =
      core === undefined
        ? { name: 'vq-cpu', reason: nativeFailure()?.message ?? 'the native core did not load' }
        : { name: 'vq-cpu', isa: core.isa(), threads: threadCount() }
    return [cpu, { name: 'vq-cuda', reason: noCuda }]
  },

  async use(choice) {
    expectOneOf('device.use', 'device', choice, ['auto', 'cpu', 'cuda', 'tensorflow'])
    if (choice === 'cuda')
      throw new VqDeviceError({
        operation: "device.use('cuda')",
        expected: 'a working CUDA device',
        received: noCuda,
        remedy: "Use device.use('cpu'), or 'auto' to take the best that works.",
      })
    if (choice === 'tensorflow') return select('tensorflow', await importTensorflow())
    const failure = nativeFailure()
    if (failure === undefined) return select(cpuBackendName)
    if (choice === 'cpu') throw failure
    const imported = await importTensorflow()
    const name = imported === undefined ? 'tensorflow' : 'cpu'
    if (!fallbackTold) console.warn(`device.use('auto') fell back to '${name}'. ${failure.message}`)
    fallbackTold = true
    return select(name)
  },

  get threads() {
    return threadCount()
  },
  set threads(count) {
    setThreadCount(count)
  },

  memory() {
    const { numTensors, numBytes } = tf.memory()
    const core = tryNative()
    const native = core === undefined ? {} : { native: core.memory() }
    return { backend: tf.getBackend(), tensors: numTensors, bytes: numBytes, ...native }
  },
}

// Returns the error where neither package can be loaded.
async function importTensorflow(): Promise<unknown> {
  if (tf.findBackendFactory('tensorflow') != null) return undefined
  let failure: unknown
  for (const name of ['@tensorflow/tfjs-node-gpu', '@tensorflow/tfjs-node']) {
    try {
      await import(name)
      return undefined
    } catch (error) {
      failure = error
    }
  }
  return failure
}

async function select(name: string, failure?: unknown): Promise<string> {
  if (failure === undefined && tf.findBackendFactory(name) != null && (await tf.setBackend(name))) return name
  throw new VqDeviceError({
    operation: `device.use('${name}')`,
    expected: `the '${name}' backend of TensorFlow.js`,
    received: failure === undefined ? 'a backend that did not start' : describe((failure as Error).message),
    remedy:
      name === 'tensorflow'
        ? 'Install @tensorflow/tfjs-node 4.22 (or @tensorflow/tfjs-node-gpu) beside @vq/core.'
        : "Use device.use('auto').",
    cause: failure,
  })
}
