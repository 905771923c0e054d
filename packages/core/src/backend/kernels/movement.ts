import type { KernelTable } from '../kernel.js'

/** Kernels that move or view data without computing on it. */
export const movement: KernelTable = {
  Identity: ({ x }, _, backend) => backend.alias(x!, x!.shape),
  Reshape: ({ x }, { shape }, backend) => {
    const size = x!.shape.reduce((a, b) => a * b, 1)
    const wanted = shape as number[]
    const known = wanted.reduce((a, b) => (b < 0 ? a : a * b), 1)
    return backend.alias(
      x!,
      wanted.map(d => (d < 0 ? size / known : d)),
    )
  },
}
