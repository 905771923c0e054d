import type { KernelFunc, TensorInfo } from '@tensorflow/tfjs-core'
import type { VqCpuBackend } from './vq-cpu.js'

/** One kernel of `vq-cpu`. To add one: write it in a file of `kernels/` and list it in that file's table. */
export type Kernel = (inputs: Inputs, attrs: Attributes, backend: VqCpuBackend) => TensorInfo | TensorInfo[]
export type Inputs = Record<string, TensorInfo>
export type Attributes = Record<string, unknown>
export type KernelTable = Record<string, Kernel>

/** A kernel in the form that tfjs registers. */
export function toKernelFunc(kernel: Kernel): KernelFunc {
  return ({ inputs, attrs, backend }) => {
    const own = backend as VqCpuBackend
    return own.attempt(() => kernel(inputs as Inputs, attrs ?? {}, own))
  }
}
