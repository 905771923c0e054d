import type { KernelTable } from '../kernel.js'
import { elementwise } from './elementwise.js'
import { movement } from './movement.js'

/** Every kernel of `vq-cpu`. */
export const kernels: KernelTable = {
  ...elementwise,
  ...movement,
}
