import type { TensorInfo } from '@tensorflow/tfjs-core'
import { sizeOf } from '../data.js'
import type { Attributes, Inputs, Kernel, KernelTable } from '../kernel.js'
import type { VqCpuBackend } from '../vq-cpu.js'
import { binary, cast, fill } from './elementwise.js'

// Inputs that choose rather than take part: they stay as they are for both parts.
const choosing = new Set(['indices', 'condition'])

/** A kernel that moves elements, for complex numbers too: it moves both parts. */
export function overParts(kernel: Kernel): Kernel {
  return (inputs, attrs, backend) => {
    let complex = false
    for (const key in inputs) complex ||= inputs[key].dtype === 'complex64'
    return complex ? bothParts(kernel, inputs, attrs, backend) : kernel(inputs, attrs, backend)
  }
}

function bothParts(
  kernel: Kernel,
  inputs: Inputs,
  attrs: Attributes,
  backend: VqCpuBackend,
): TensorInfo | TensorInfo[] {
  const entries = Object.entries(inputs).map(([key, x]): [string, TensorInfo, TensorInfo] => {
    if (choosing.has(key)) return [key, backend.alias(x, x.shape), backend.alias(x, x.shape)]
    const whole = cast(backend, x, 'complex64')
    const parts = ([0, 1] as const).map(i => backend.alias(backend.part(whole, i), x.shape))
    backend.disposeData(whole.dataId)
    return [key, parts[0], parts[1]]
  })
  const [real, imaginary] = [1, 2].map(i =>
    kernel(Object.fromEntries(entries.map(e => [e[0], e[i] as TensorInfo])), attrs, backend),
  )
  for (const [, a, b] of entries) for (const x of [a, b]) backend.disposeData(x.dataId)
  if (!Array.isArray(real)) return backend.join(real, imaginary as TensorInfo)
  return real.map((x, i) => backend.join(x, (imaginary as TensorInfo[])[i]))
}

const fourier =
  (inverse: boolean): Kernel =>
  ({ input }, _, backend) => {
    const n = input.shape[input.shape.length - 1]
    const [real, imaginary] = [0, 1].map(() => backend.allocate(input.shape, 'float32'))
    const rows = n === 0 ? 0 : sizeOf(input.shape) / n
    backend.run('Fourier', inverse, rows, n, backend.part(input, 0), backend.part(input, 1), real, imaginary)
    return backend.join(real, imaginary)
  }

/** Kernels of complex numbers. */
export const complex: KernelTable = {
  Complex: ({ real, imag }, _, backend) =>
    backend.join(cast(backend, real, 'float32'), cast(backend, imag, 'float32')),
  Real: ({ input }, _, backend) =>
    input.dtype === 'complex64' ? backend.copy(backend.part(input, 0)) : backend.alias(input, input.shape),
  Imag: ({ input }, _, backend) =>
    input.dtype === 'complex64'
      ? backend.copy(backend.part(input, 1))
      : fill(backend, input.shape, 'float32', 0),
  ComplexAbs: ({ x }, _, backend) => binary(backend, 'ComplexAbs', backend.part(x, 0), backend.part(x, 1)),
  FFT: fourier(false),
  IFFT: fourier(true),
}
