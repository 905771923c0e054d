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
import { cudaStatus, noCuda } from './cuda/library.js'
import type { DeviceFigures } from './cuda/native.js'
import { VqDeviceError } from './errors.js'
import { nativeFailure, tryNative } from './native.js'
import { setThreadCount, threadCount } from './threads.js'

/** A device that VQ can compute on, or the reason why it cannot. */
export interface DeviceInfo {
  name: 'vq-cpu' | 'vq-cuda' | 'tensorflow'
  /** Instruction set of the quantization kernels: 'scalar', 'avx2', 'avx512', 'avx512_bf16' or 'neon'. */
  isa?: string
  threads?: number
  /** Of vq-cuda: the GPU's name, its compute capability, its memory in bytes, how many GPUs there are. */
  gpu?: string
  computeCapability?: string
  memory?: number
  devices?: number
  /** The names of all GPUs; calls run on the first that can be used, which `gpu` names. */
  gpus?: string[]
  /** The CUDA version that the driver supports, and that of the CUDA library. */
  driver?: string
  runtime?: string
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
  /** Where a GPU works. */
  cuda?: DeviceFigures
}

export const device: Device = {
  list() {
    return [cpuInfo(), cudaInfo(), tensorflowDevice()]
  },

  async use(choice) {
    expectOneOf('device.use', 'device', choice, ['auto', 'cpu', 'cuda', 'tensorflow'])
    if (choice === 'cuda') throw noTensorsOnCuda()
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
    const status = cudaStatus()
    const cuda = core !== undefined && 'device' in status ? { cuda: core.cudaMemory(status.device) } : {}
    return { backend: tf.getBackend(), tensors: numTensors, bytes: numBytes, ...native, ...cuda }
  },
}

function cudaInfo(): DeviceInfo {
  const status = cudaStatus()
  if (!('device' in status)) return { name: 'vq-cuda', reason: status.reason }
  const { gpu, gpus, computeCapability, memory, devices, driver, runtime } = status
  return { name: 'vq-cuda', gpu, computeCapability, memory, devices, gpus, driver, runtime }
}

function noTensorsOnCuda(): VqDeviceError {
  const operation = "device.use('cuda')"
  const status = cudaStatus()
  if (!('device' in status)) return noCuda(operation, status)
  return new VqDeviceError({
    operation,
    expected: 'a device that tensors can live on',
    received: `${status.gpu}, which computes the quantization of typed arrays and DeviceArrays so far`,
    remedy: "Pass device: 'cuda' to nearest, emaUpdate, residualEncode or kmeans; keep tensors on 'cpu'.",
  })
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
