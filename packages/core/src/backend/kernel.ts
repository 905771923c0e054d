import type { KernelFunc, TensorInfo } from '@tensorflow/tfjs-core'
import { VqValueError } from '../errors.js'
import type { VqCpuBackend } from './vq-cpu.js'

/** One kernel of `vq-cpu`. To add one: write it in a file of `kernels/` and list it in that file's table. */
export type Kernel = (inputs: Inputs, attrs: Attributes, backend: VqCpuBackend) => TensorInfo | TensorInfo[]
export type Inputs = Record<string, TensorInfo>
export type Attributes = Record<string, unknown>
export type KernelTable = Record<string, Kernel>

/** A kernel in the form that tfjs registers. */
export function toKernelFunc(name: string, kernel: Kernel): KernelFunc {
  return ({ inputs, attrs, backend }) => {
    const own = backend as VqCpuBackend
    try {
      return own.attempt(() => kernel(inputs as Inputs, attrs ?? {}, own))
    } catch (error) {
      throw malformed(name, error)
    }
  }
}

// tfjs's ops check what they pass on; who calls a kernel directly may leave an input out, or pass a shape that is none.
function malformed(name: string, error: unknown): unknown {
  if (!(error instanceof TypeError || error instanceof RangeError || error instanceof SyntaxError))
    return error
  return new VqValueError({
    operation: `kernel ${name} on vq-cpu`,
    expected: 'the inputs and attributes that tfjs defines for it',
    received: `some that it cannot work with (${error.message})`,
    remedy: 'Call the op of tfjs that runs this kernel, which checks its arguments.',
    cause: error,
  })
}
