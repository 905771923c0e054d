import * as tf from '@tensorflow/tfjs-core'
import { cpuBackendName } from './backend/register.js'
import {
  loadTensorflow,
  tensorflowFailure,
  tensorflowInstalled,
  tensorflowInUse,
  tensorflowPackages,
} from './backend/tensorflow.js'
import { expectOneOf } from './check.js'
import { VqDeviceError } from './errors.js'
import { nativeFailure, tryNative } from './native.js'
import { setThreadCount, threadCount } from './threads.js'

/** A device that VQ can compute on, or the reason why it cannot. */
export interface DeviceInfo {
  name: 'vq-cpu' | 'vq-cuda' | 'tensorflow'
  /** Instruction set of the quantization kernels: 'scalar', 'avx2', 'avx512', 'avx512_bf16' or 'neon'. */
  isa?: string
  threads?: number
  /** The npm package behind `tensorflow`. */
  package?: string
  /** Of that package. */
  version?: string
  /** Version of libtensorflow, once it runs. */
  libtensorflow?: string
  /** Why the device cannot be used; absent where it can. */
  reason?: string
}

export type DeviceChoice = 'auto' | 'cpu' | 'cuda' | 'tensorflow'

const noCuda = 'this version of VQ has no CUDA library'
let fallbackTold = false
let tensorflowTold = false

/** Which device tensors live on, and how many threads calls use. */
export interface Device {
  /**
   * Every device, usable or with the reason why not. `tensorflow` is loaded by `use` alone: until then the list names the
   * package that would be tried.
   */
  list(): DeviceInfo[]
  /**
   * Makes a device the one where new tensors live; returns the backend's name. 'auto' takes the best that works and says
   * once when that is not a device of VQ's; 'tensorflow' loads @tensorflow/tfjs-node-gpu or else @tensorflow/tfjs-node and
   * says once which. All but 'auto' throw a VqDeviceError with the reason when they cannot be had.
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
    return [cpuInfo(), { name: 'vq-cuda', reason: noCuda }, tensorflowDevice()]
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
    if (choice === 'tensorflow') {
      const name = await useTensorflow()
      if (!tensorflowTold) console.info(`device.use('tensorflow') runs on ${tensorflowName()}.`)
      tensorflowTold = true
      return name
    }
    const failure = nativeFailure()
    if (failure === undefined) return select(cpuBackendName)
    if (choice === 'cpu') throw failure
    const name = await useTensorflow().catch(() => select('cpu'))
    const what = name === 'cpu' ? "TensorFlow.js's plain JavaScript, which is very slow" : tensorflowName()
    if (!fallbackTold) console.warn(`device.use('auto') fell back to '${name}' (${what}). ${failure.message}`)
    fallbackTold = true
    return name
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

function cpuInfo(): DeviceInfo {
  const core = tryNative()
  if (core !== undefined) return { name: 'vq-cpu', isa: core.isa(), threads: threadCount() }
  return { name: 'vq-cpu', reason: nativeFailure()?.received ?? 'the native core did not load' }
}

function tensorflowDevice(): DeviceInfo {
  const running = tensorflowInUse()
  if (running !== undefined) return { name: 'tensorflow', ...running }
  const installed = tensorflowInstalled()
  const next = installed.find(p => tensorflowFailure(p.package) === undefined)
  if (next !== undefined) return { name: 'tensorflow', ...next }
  const [broken] = installed
  const reason =
    broken === undefined
      ? `neither ${tensorflowPackages.join(' nor ')} is installed`
      : (tensorflowFailure(broken.package) ?? '')
  return { name: 'tensorflow', ...broken, reason }
}

/** For example "@tensorflow/tfjs-node 4.22.0 (TensorFlow 2.9.1)". */
function tensorflowName(): string {
  const { package: name, version, libtensorflow = 'of unknown version' } = tensorflowDevice()
  return `${name} ${version} (TensorFlow ${libtensorflow})`
}

async function useTensorflow(): Promise<string> {
  await loadTensorflow()
  return select('tensorflow')
}

async function select(name: string): Promise<string> {
  if (tf.findBackendFactory(name) != null && (await tf.setBackend(name))) return name
  throw new VqDeviceError({
    operation: `device.use('${name}')`,
    expected: `the '${name}' backend of TensorFlow.js`,
    received: 'a backend that did not start',
    remedy: name === 'cpu' ? "Import '@tensorflow/tfjs-backend-cpu' first." : "Use device.use('auto').",
  })
}
