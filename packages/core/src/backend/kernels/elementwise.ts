import type { KernelTable } from '../kernel.js'

/** Kernels that compute each element from the elements at the same place. */
export const elementwise: KernelTable = {}
