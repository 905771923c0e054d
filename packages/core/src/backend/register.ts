import * as tfjs from '@tensorflow/tfjs-core'
import { VqDeviceError } from '../errors.js'
import { tryNative } from '../native.js'
import { type KernelTable, toKernelFunc } from './kernel.js'
import { kernels } from './kernels/index.js'
import { VqCpuBackend } from './vq-cpu.js'

export const cpuBackendName = 'vq-cpu'

/** Registers `vq-cpu` where the addon loads, and picks it unless a backend is already in use; importing `@vq/core` does this. */
export function registerCpuBackend(): boolean {
  const core = tryNative()
  if (core === undefined) return false
  if (tfjs.findBackendFactory(cpuBackendName) != null) return true
  tfjs.registerBackend(cpuBackendName, () => new VqCpuBackend(core), 10)
  const table: KernelTable = { ...missingKernels(), ...kernels }
  for (const [kernelName, kernel] of Object.entries(table))
    tfjs.registerKernel({
      kernelName,
      backendName: cpuBackendName,
      kernelFunc: toKernelFunc(kernelName, kernel),
    })
  // A synchronous factory makes the switch complete when setBackend returns; its promise says nothing more.
  if (!tfjs.getBackend()) void tfjs.setBackend(cpuBackendName)
  return true
}

// tfjs exports each kernel's name as a constant of that name. The ones we lack answer with an error that says so. Pixels
// tfjs reads itself where no kernel of that name is registered.
function missingKernels(): KernelTable {
  const names = Object.entries(tfjs).filter(
    ([key, value]) => key === value && !(key in kernels) && key !== tfjs.FromPixels,
  )
  return Object.fromEntries(names.map(([name]) => [name, () => notImplemented(name)]))
}

function notImplemented(name: string): never {
  throw new VqDeviceError({
    operation: `kernel ${name} is not implemented for ${cpuBackendName}`,
    expected: 'one of the kernels that this backend has',
    received: name,
    remedy:
      "Compose the operation of others, or run it on another backend: tf.setBackend('cpu') or 'tensorflow'.",
  })
}
