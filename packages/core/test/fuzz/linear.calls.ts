import { tf } from '@vq/core'
import type { Call, Fuzz, FuzzTable } from './call.js'
import { type Dtype, type Rng, sizeOf, type Values } from './rng.js'

/** Matrix products, Fourier transforms, and our own kernels that no plain backend has. */

function product(r: Rng): { a: number[]; b: number[]; attrs: { transposeA: boolean; transposeB: boolean } } {
  const [m, k, n] = [r.size(), r.size(), r.size()]
  const lead = r.shape(0, 3)
  const thin = lead.slice(r.chance(0.3) ? r.int(0, lead.length) : 0).map(d => (r.chance(0.25) ? 1 : d))
  const attrs = { transposeA: r.chance(0.4), transposeB: r.chance(0.4) }
  const [one, other] = r.chance(0.5) ? [lead, thin] : [thin, lead]
  return {
    a: [...one, ...(attrs.transposeA ? [k, m] : [m, k])],
    b: [...other, ...(attrs.transposeB ? [n, k] : [k, n])],
    attrs,
  }
}

const equations: [string, ((d: Record<string, number>) => number[])[]][] = [
  'ij,jk->ik', 'i,i->', 'ij->ji', 'ij->i', 'bij,bjk->bik', 'bij,bkj->bik', 'ijk->', 'i,j->ij', 'abc,cd->abd', 'bhqd,bhkd->bhqk',
  'ij,ij->j', 'ij,k->ijk',
].map(e => [
  e,
  e.split('->')[0].split(',').map(t => (d: Record<string, number>) => [...t].map(c => d[c])),
]) // biome-ignore format: a list

const spectrum: Fuzz['call'] = r => {
  const shape = [r.int(0, 4), r.int(1, 33)]
  return { inputs: { input: r.tensor(shape, 'complex64') } }
}

function normalised(r: Rng): { x: Values; gamma: Values; beta: Values; c: number } {
  const shape = r.shape(1, 5, false)
  const c = shape[shape.length - 1]
  return { x: r.tensor(shape), gamma: r.tensor([c]), beta: r.tensor([c]), c }
}
const options = (r: Rng): { epsilon: number; relu: boolean } => ({ epsilon: 1e-5, relu: r.chance(0.5) })
const oracle = 'fused.test.ts compares it with its composition and with finite differences'

// It takes batch i of an operand with fewer batches modulo their number, which is no broadcasting of a size in the middle.
const batches = ({ inputs }: Call): boolean => {
  const [a, b] = [inputs.a, inputs.b].map(v => (v as Values).shape.slice(0, -2))
  return sizeOf(a) > 1 && sizeOf(b) > 1 && `${a}` !== `${b}`
}

export const linear: FuzzTable = {
  BatchMatMul: {
    call: r => {
      const { a, b, attrs } = product(r)
      const dtype = r.pick<Dtype>(['float32', 'float32', 'int32'])
      return { inputs: { a: r.tensor(a, dtype), b: r.tensor(b, dtype) }, attrs }
    },
    tolerance: 2e-5,
    plainIsWrong: batches,
  },
  _FusedMatMul: {
    call: r => {
      const { a, b, attrs } = product(r)
      const n = b[b.length - (attrs.transposeB ? 2 : 1)]
      const activation = r.pick(['linear', 'relu', 'relu6', 'elu', 'sigmoid', 'leakyrelu', 'prelu'])
      return {
        inputs: {
          a: r.tensor(a),
          b: r.tensor(b),
          bias: r.chance(0.6) ? r.tensor([n]) : undefined,
          preluActivationWeights: activation === 'prelu' ? r.tensor([n]) : undefined,
        },
        attrs: { ...attrs, activation, ...(activation === 'leakyrelu' ? { leakyreluAlpha: 0.3 } : {}) },
      }
    },
    tolerance: 2e-5,
    plainIsWrong: batches,
  },
  Einsum: {
    call: r => {
      const [equation, shapes] = r.pick(equations)
      const sizes = Object.fromEntries([...'abcdhijkq'].map(c => [c, r.int(1, 5)]))
      const dtype = r.pick<Dtype>(['float32', 'int32'])
      return {
        inputs: Object.fromEntries(shapes.map((s, i) => [i, r.tensor(s(sizes), dtype)])),
        attrs: { equation },
      }
    },
    tolerance: 2e-5,
  },
  FFT: { call: spectrum, tolerance: 1e-4 },
  IFFT: { call: spectrum, tolerance: 1e-4 },
  VqBatchNormTrain: {
    call: r => {
      const { x, gamma, beta } = normalised(r)
      return { inputs: { x, gamma, beta }, attrs: options(r) }
    },
    alone: oracle,
  },
  VqBatchNormTrainGrad: {
    call: r => {
      const { x, gamma, beta, c } = normalised(r)
      const mean = r.tensor([c])
      const variance = r.floats([c], 0.1, 2)
      return { inputs: { x, gamma, beta, mean, variance, dy: r.tensor(x.shape) }, attrs: options(r) }
    },
    alone: oracle,
  },
  VqBatchNormAddTrain: {
    call: r => {
      const { x, gamma, beta } = normalised(r)
      return { inputs: { x, gamma, beta, added: r.tensor(x.shape) }, attrs: { epsilon: 1e-5 } }
    },
    alone: oracle,
  },
  VqBatchNormAddTrainGrad: {
    call: r => {
      const { x, gamma, beta, c } = normalised(r)
      const moments = { mean: r.tensor([c]), variance: r.floats([c], 0.1, 2) }
      const inputs = { x, gamma, beta, ...moments, y: r.tensor(x.shape), dy: r.tensor(x.shape) }
      return { inputs, attrs: { epsilon: 1e-5 } }
    },
    alone: oracle,
  },
  VqBatchNormFollow: {
    call: r => {
      const c = r.int(1, 41)
      const pair = (): { mean: Values; variance: Values } => ({
        mean: r.tensor([c]),
        variance: r.floats([c], 0.1, 2),
      })
      const { mean: batchMean, variance: batchVariance } = pair()
      const attrs = { share: r.next(), factor: 1 + r.next() }
      return { inputs: { ...pair(), batchMean, batchVariance }, attrs }
    },
    tolerance: 1e-5,
    plain: ({ mean, variance, batchMean, batchVariance }, { share, factor }) => {
      const kept = 1 - (share as number)
      return [
        tf.add(tf.mul(mean, kept), tf.mul(batchMean, share as number)),
        tf.add(tf.mul(variance, kept), tf.mul(batchVariance, (share as number) * (factor as number))),
      ]
    },
  },
  VqBatchNormInfer: {
    call: r => {
      const { x, gamma, beta, c } = normalised(r)
      return {
        inputs: { x, gamma, beta, mean: r.tensor([c]), variance: r.floats([c], 0.1, 2) },
        attrs: options(r),
      }
    },
    tolerance: 1e-4,
    plain: ({ x, gamma, beta, mean, variance }, { epsilon, relu }) => {
      const scaled = tf.mul(tf.sub(x, mean), tf.div(gamma, tf.sqrt(tf.add(variance, epsilon as number))))
      const y = tf.add(scaled, beta)
      return relu === true ? tf.relu(y) : y
    },
  },
  VqNearestCode: {
    call: r => {
      const dim = r.int(1, 20)
      return {
        inputs: { z: r.tensor([...r.shape(0, 3), dim]), codebook: r.tensor([r.int(1, 40), dim]) },
        attrs: { metric: r.int(0, 2) },
      }
    },
    alone: 'nearest.test.ts and nearest-code.test.ts hold it to a float32 oracle, bit by bit',
  },
  VqEmaUpdate: {
    call: r => {
      const [k, dim] = [r.int(1, 20), r.int(1, 20)]
      const lead = r.shape(0, 2)
      return {
        inputs: {
          vectors: r.tensor([...lead, dim]),
          indices: r.ints([sizeOf(lead)], 0, k - 1),
          codebook: r.tensor([k, dim]),
          counts: r.floats([k], 0, 3),
          sums: r.tensor([k, dim]),
        },
        attrs: { decay: 0.9, epsilon: 1e-5 },
      }
    },
    alone: 'ema-update.test.ts holds it to an oracle',
  },
}
