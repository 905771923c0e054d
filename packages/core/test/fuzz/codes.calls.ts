import type { Call, Fuzz, FuzzTable } from './call.js'
import { type Rng, sizeOf, type Values } from './rng.js'

/** Kernels of quantization. Their answers are compared elsewhere; here no call of them may do harm. */

const alone =
  'tfjs has none; codes, lfq-entropies, gumbel-softmax, estimator-gradient, nearest-implicit-code and ordered-linear.test.ts compare it with float64'
const fuzz = (call: (r: Rng) => Call): Fuzz => ({ call, alone })

const lattice = (r: Rng) => {
  const levels = Array.from({ length: r.int(1, 6) }, () => r.int(2, 9))
  return { levels, attrs: { levels, bound: r.int(0, 1) } }
}
const rows = (r: Rng, dim: number): Values => r.tensor([...r.shape(0, 3), dim])

/** z of N ≥ 1 rows, and the size of the table of each group's codes. */
function entropy(r: Rng): { z: Values; attrs: { group: number; kappa: number }; table: number } {
  const [bits, group] = [r.int(1, 14), r.int(1, 8)]
  const rest = bits % group
  const table = Math.floor(bits / group) * 2 ** group + (rest === 0 ? 0 : 2 ** rest)
  return { z: r.tensor([r.int(1, 20), bits]), attrs: { group, kappa: r.pick([0.1, 1, 400]) }, table }
}

export const codes: FuzzTable = {
  VqFsqEncode: fuzz(r => {
    const { levels, attrs } = lattice(r)
    return { inputs: { z: rows(r, levels.length) }, attrs }
  }),
  VqFsqBound: fuzz(r => {
    const { levels, attrs } = lattice(r)
    return { inputs: { z: rows(r, levels.length) }, attrs }
  }),
  VqFsqGrad: fuzz(r => {
    const { levels, attrs } = lattice(r)
    const z = rows(r, levels.length)
    return { inputs: { z, dy: r.tensor(z.shape) }, attrs }
  }),
  VqFsqDecode: fuzz(r => {
    const { levels, attrs } = lattice(r)
    return { inputs: { indices: r.ints(r.shape(0, 3), 0, sizeOf(levels) - 1) }, attrs }
  }),
  VqLfqEncode: fuzz(r => ({ inputs: { z: rows(r, r.int(1, 30)) }, attrs: { scale: 0.5 } })),
  VqLfqDecode: fuzz(r => {
    const bits = r.int(1, 30)
    return { inputs: { indices: r.ints(r.shape(0, 3), 0, 2 ** bits - 1) }, attrs: { bits, scale: 0.5 } }
  }),
  VqLfqEntropy: fuzz(r => {
    const { z, attrs } = entropy(r)
    return { inputs: { z }, attrs }
  }),
  VqLfqEntropyGrad: fuzz(r => {
    const { z, attrs, table } = entropy(r)
    const given = { byEntropy: r.tensor([]), byDiversity: r.tensor([]), table: r.floats([table], 0, 1) }
    return { inputs: { z, ...given }, attrs }
  }),
  VqGumbelSoftmax: fuzz(r => {
    const blocks = { seed: [r.int(0, 9), 0], stream: [0, 0], block: [r.int(0, 99), 0] }
    return {
      inputs: { logits: r.tensor([r.int(1, 9), r.int(1, 37)]) },
      attrs: { temperature: r.pick([1, 0.1, 5]), blocks },
    }
  }),
  VqGumbelSoftmaxGrad: fuzz(r => {
    const [n, k] = [r.int(1, 9), r.int(1, 37)]
    const square = () => r.tensor([n, k])
    const sums = { logSum: r.tensor([n]), negentropy: r.tensor([n]) }
    return {
      inputs: { logits: square(), y: square(), ...sums, dy: square(), dkl: r.tensor([]) },
      attrs: { temperature: r.pick([1, 0.1, 5]) },
    }
  }),
  VqOrderedLinear: fuzz(r => {
    const [inputs, outputs] = [r.int(1, 37), r.int(1, 37)]
    return {
      inputs: { x: rows(r, inputs), weight: r.tensor([inputs, outputs]), bias: r.tensor([outputs]) },
    }
  }),
  VqNearestImplicitCode: fuzz(r => {
    const [n, k, dim, hidden, blocks] = [r.int(0, 9), r.int(1, 30), r.int(1, 19), r.int(1, 19), r.int(1, 3)]
    const given = { z: r.tensor([n, dim]), shift: r.tensor([n, dim]), start: r.tensor([k, dim]) }
    return {
      inputs: { ...given, up: r.tensor([blocks, dim, hidden]), down: r.tensor([blocks, hidden, dim]) },
    }
  }),
  VqEstimatorGradient: fuzz(r => {
    const z = rows(r, r.int(1, 37))
    return {
      inputs: { z, q: r.tensor(z.shape), g: r.tensor(z.shape) },
      attrs: { estimator: r.pick(['ste', 'rotation', 'projection']) },
    }
  }),
}
