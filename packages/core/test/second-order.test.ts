import '@tensorflow/tfjs-backend-cpu'
import { gelu, meanSquaredError, silu, tf } from '@vq/core'
import { describe, expect, test } from 'vitest'
import { backends, use } from '../../../test/contract/backends.js'
import { draw } from './draw.js'

// The gradient of Σ g², g being the gradient of Σ (y² + y), by central differences of g: what gradient penalties need.
type T = tf.Tensor
interface Case {
  name: string
  shape: number[]
  op: (x: T) => T
  /** What tfjs's own gradients, which the composed ops use, get wrong. */
  fusedOnly?: string
}

const outputs = 'gradients that tfjs takes from saved outputs have none themselves'
const at = [[0], [2], [0]]
const cases: Case[] = [
  { name: 'relu', shape: [3, 5], op: x => tf.relu(tf.mul(x, 2)) },
  { name: 'gelu', shape: [3, 5], op: x => gelu(tf.mul(x, 2)) },
  {
    name: 'gelu_tanh',
    shape: [3, 5],
    op: x => gelu(tf.mul(x, 2), { approximate: 'tanh' }),
    fusedOnly: outputs,
  },
  { name: 'silu', shape: [3, 5], op: x => silu(tf.mul(x, 2)), fusedOnly: outputs },
  { name: 'meanSquaredError', shape: [2, 3], op: x => meanSquaredError(tf.square(x), x) },
  { name: 'topk', shape: [2, 6], op: x => tf.topk(x, 3).values },
  { name: 'gatherND', shape: [3, 4], op: x => tf.gatherND(x, tf.tensor2d(at, [3, 1], 'int32')) },
  { name: 'gather by positions', shape: [4, 3], op: x => tf.gather(x, tf.argMin(x, 0)) },
  { name: 'einsum to a scalar', shape: [3, 4], op: x => tf.einsum('ij->', x) },
  { name: 'einsum to a vector', shape: [3, 4], op: x => tf.einsum('ij->i', x) },
  { name: 'prod', shape: [2, 3, 2], op: x => tf.prod(tf.add(x, 1), [0, 2]) },
  { name: 'prod of all', shape: [2, 3], op: x => tf.prod(tf.add(x, 1)) },
  { name: 'prod along one', shape: [2, 3], op: x => tf.prod(x, 0, true) },
]

for (const backend of backends)
  describe(backend, () => {
    const able = cases.filter(c => backend === 'vq-cpu' || c.fusedOnly === undefined)
    test.each(able)('second order of $name', async ({ shape, op }) => {
      await use(backend)
      const count = tf.util.sizeFromShape(shape)
      const values = Array.from(draw(count, 3, 0.5), v => Math.fround(v))
      tf.tidy(() => {
        const first = tf.grad(x => {
          const y = op(x)
          return tf.sum(tf.add(tf.square(y), y))
        })
        const penalty = (x: T): T => tf.sum(tf.square(first(x)))
        const found = tf.grad(penalty)(tf.tensor(values, shape)).dataSync()
        const step = 2 ** -8
        for (let i = 0; i < count; i++) {
          const moved = (by: number): number =>
            penalty(
              tf.tensor(
                values.map((v, j) => (j === i ? v + by : v)),
                shape,
              ),
            ).dataSync()[0]
          const expected = (moved(step) - moved(-step)) / (2 * step)
          expect(Math.abs(found[i] - expected), `element ${i}: ${found[i]}, ${expected}`).toBeLessThan(
            1e-2 * (1 + Math.abs(expected)),
          )
        }
      })
    })
  })
