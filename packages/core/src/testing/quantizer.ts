import assert from 'node:assert/strict'
import * as tf from '@tensorflow/tfjs-core'
import { VqShapeError, VqValueError } from '../errors.js'
import type { StateDict } from '../io/stored-tensor.js'
import { valueAndGradients } from '../optim/gradients.js'
import { setThreadCount, threadCount } from '../threads.js'
import {
  assertFinite,
  type ContractCheck,
  checkOn,
  sample,
  snapshot,
  throwsTyped,
  valuesOf,
} from './contract.js'

/** What the checks need of a quantizer; `BaseQuantizer` of `@vq/quantizers` has it. */
export interface QuantizerLike {
  readonly dim: number
  readonly codebookSize: number
  forward(
    z: tf.Tensor,
    options?: { mask?: tf.Tensor; lengths?: tf.Tensor | ArrayLike<number> },
  ): {
    quantized: tf.Tensor
    indices: tf.Tensor
    loss: tf.Scalar
    losses: Record<string, tf.Scalar>
    perplexity: tf.Scalar
  }
  encode(z: tf.Tensor, options?: { mask?: tf.Tensor; lengths?: tf.Tensor | ArrayLike<number> }): tf.Tensor
  decode(indices: tf.Tensor): tf.Tensor
  usage(): { counts: ArrayLike<number>; used: number; ratio: number; perplexity: number }
  resetUsage(): void
  eval(): unknown
  stateDict(): StateDict
  loadStateDict(state: Readonly<StateDict>): unknown
  /** The quantizer as '' and its parts, as `Module` gives them. */
  namedModules(): [name: string, part: { extraState(): unknown; loadExtraState(state: unknown): void }][]
  dispose(): void
}

/**
 * What every quantizer promises. `make` gives one in training mode that can quantize at once; each call must give the same
 * one. The checks run on the backend in use.
 *
 * @example
 * for (const { name, run } of quantizerContract(() => new MyQuantizer({ … }))) test(name, run)
 */
export function quantizerContract(make: () => QuantizerLike): ContractCheck[] {
  const check = (name: string, test: (q: QuantizerLike) => void): ContractCheck => checkOn(make, name, test)
  return [
    check('gives shapes and types as promised, for vectors of any rank', q => {
      for (const lead of [[5], [2, 3], [2, 3, 4], []]) {
        const z = sample([...lead, q.dim])
        const out = q.forward(z)
        assert.deepEqual(out.quantized.shape, z.shape, 'shape of quantized')
        assert.equal(out.indices.dtype, 'int32', 'type of indices')
        assert.deepEqual(out.indices.shape.slice(0, lead.length), lead, 'shape of indices')
        assert.deepEqual([out.loss.shape, out.perplexity.shape], [[], []], 'loss and perplexity are scalars')
        const parts = Object.values(out.losses).reduce((sum, t) => sum + valuesOf(t)[0], 0)
        assert.ok(
          Math.abs(valuesOf(out.loss)[0] - parts) < 1e-5 * Math.max(1, parts),
          'loss is the sum of losses',
        )
        const [perplexity] = valuesOf(out.perplexity)
        assert.ok(
          perplexity >= 1 - 1e-6 && perplexity <= q.codebookSize + 1e-3,
          `perplexity is ${perplexity}, not from 1 to ${q.codebookSize}`,
        )
      }
    }),

    check('decodes its codes to what it quantized, bit for bit, in evaluation', q => {
      q.eval()
      const z = sample([7, 3, q.dim])
      const { quantized, indices } = q.forward(z)
      const decoded = q.decode(indices)
      assert.deepEqual(decoded.shape, z.shape, 'shape of decode(indices)')
      assert.deepEqual(valuesOf(decoded), valuesOf(quantized), 'decode(indices) and quantized')
      assert.deepEqual(valuesOf(q.encode(z)), valuesOf(indices), 'encode(z) and indices')
    }),

    check('changes nothing in evaluation, and nothing depends on the batch', q => {
      q.eval()
      const before = snapshot(q)
      const z = sample([11, q.dim])
      const all = q.forward(z)
      const one = tf.concat(tf.unstack(z).map(row => q.forward(tf.expandDims(row, 0)).quantized))
      assert.deepEqual(valuesOf(one), valuesOf(all.quantized), 'row by row and all at once')
      assert.deepEqual(snapshot(q), before, 'the state after evaluation')
    }),

    check('gives the same bits whatever the number of threads', q => {
      q.eval()
      const z = sample([300, q.dim])
      const threads = threadCount()
      try {
        const [one, more] = [1, 3].map(n => {
          setThreadCount(n)
          const { quantized, indices } = q.forward(z)
          return [valuesOf(quantized), valuesOf(indices), valuesOf(q.encode(z))]
        })
        assert.deepEqual(more, one, 'with three threads and with one')
      } finally {
        setThreadCount(threads)
      }
    }),

    check('takes lengths as a mask', q => {
      q.eval()
      const z = sample([2, 4, q.dim])
      const mask = tf.tensor2d([1, 1, 1, 0, 1, 0, 0, 0], [2, 4], 'bool')
      const [a, b] = [{ mask }, { lengths: [3, 1] }].map(options => {
        const { quantized, indices, loss } = q.forward(z, options)
        return [quantized, indices, loss, q.encode(z, options)].map(valuesOf)
      })
      assert.deepEqual(b, a, 'with lengths and with a mask')
      throwsTyped(() => q.forward(z, { lengths: [3, 5] }), VqValueError, /lengths from 0 to 4/)
      throwsTyped(() => q.forward(z, { lengths: [3] }), VqShapeError)
    }),

    check(
      'leaves masked vectors out: index −1, output 0, no gradient, no part in the loss, NaN or not',
      checkMask,
    ),

    check('takes a batch in which everything is masked, and an empty one', q => {
      const out = q.forward(sample([2, q.dim]), { mask: tf.zeros([2], 'bool') })
      assert.ok(
        [...valuesOf(out.quantized), ...valuesOf(out.loss)].every(x => x === 0),
        'output and loss are 0',
      )
      assert.ok(
        valuesOf(out.indices).every(i => i === -1),
        'indices are −1',
      )
      const empty = q.forward(tf.zeros([0, q.dim]))
      assert.deepEqual([empty.quantized.shape, valuesOf(empty.loss)], [[0, q.dim], [0]], 'an empty batch')
    }),

    check('counts how often codes were chosen', q => {
      q.eval()
      const indices = [
        ...valuesOf(q.encode(sample([30, q.dim]))),
        ...valuesOf(q.forward(sample([20, q.dim], 2)).indices),
      ]
      const { counts, used, ratio } = q.usage()
      for (let k = 0; k < q.codebookSize; k++)
        assert.equal(counts[k], indices.filter(i => i === k).length, `count of code ${k}`)
      assert.equal(used, new Set(indices).size, 'codes used')
      assert.equal(ratio, used / q.codebookSize, 'ratio')
      q.resetUsage()
      const { used: none, perplexity } = q.usage()
      assert.deepEqual([none, perplexity], [0, 1], 'usage after resetUsage()')
    }),

    check('refuses NaN and infinity by its own name and changes nothing', q => {
      for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
        const z = tf.concat([sample([2, q.dim]), tf.fill([1, q.dim], bad)])
        const before = snapshot(q)
        const named = new RegExp(`${q.constructor.name}.*row 2`)
        for (const call of [() => q.forward(z), () => q.encode(z)]) throwsTyped(call, VqValueError, named)
        assert.deepEqual(snapshot(q), before, 'the state after a refusal')
      }
    }),

    check('refuses wrong lengths, masks, and codes that it does not have', q => {
      throwsTyped(() => q.forward(tf.zeros([3, q.dim + 1])), VqShapeError)
      throwsTyped(() => q.forward(tf.zeros([3, q.dim], 'int32')), VqShapeError)
      throwsTyped(() => q.forward(tf.zeros([3, q.dim]), { mask: tf.ones([2]) }), VqShapeError, /a mask \[3\]/)
      const { indices } = q.forward(sample([2, q.dim]))
      throwsTyped(() => q.decode(tf.fill(indices.shape, q.codebookSize, 'int32')), VqValueError)
      throwsTyped(() => q.decode(tf.fill(indices.shape, -2, 'int32')), VqValueError)
      throwsTyped(() => q.decode(tf.zeros(indices.shape)), VqShapeError, /int32 indices/)
    }),

    check('has all the codes that it says', q => {
      const { indices } = q.forward(sample([2, q.dim]))
      for (const code of [0, q.codebookSize - 1])
        assertFinite(q.decode(tf.fill(indices.shape, code, 'int32')), `decode(${code})`)
    }),

    check('carries on exactly from its state', q => {
      for (let i = 0; i < 3; i++) q.forward(sample([16, q.dim], i))
      const copy = make()
      try {
        copy.loadStateDict(q.stateDict())
        const parts = new Map(copy.namedModules())
        for (const [name, part] of q.namedModules()) {
          const extra = part.extraState()
          if (extra !== undefined) parts.get(name)?.loadExtraState(JSON.parse(JSON.stringify(extra)))
        }
        const [a, b] = [q, copy].map(x => x.forward(sample([16, q.dim], 9)))
        assert.deepEqual(valuesOf(b.quantized), valuesOf(a.quantized), 'the output of the copy')
        assert.deepEqual(snapshot(copy), snapshot(q), 'the state of the copy after a step')
      } finally {
        copy.dispose()
      }
    }),

    check('keeps the number of tensors over steps', q => {
      const z = tf.variable(sample([16, q.dim]))
      const counts = [1, 2, 3].map(() => {
        const { value, gradients } = valueAndGradients(() => {
          const { quantized, loss } = q.forward(z)
          return tf.add(tf.mean(quantized), loss)
        }, [z])
        tf.dispose([value, ...gradients.filter(t => t !== null)])
        return tf.memory().numTensors
      })
      z.dispose()
      assert.equal(counts[2], counts[0], 'tensors after three steps and after one')
    }),
  ]
}

function checkMask(q: QuantizerLike): void {
  q.eval()
  const kept = sample([4, q.dim])
  const rows = tf.unstack(kept)
  const nan = tf.fill([q.dim], Number.NaN)
  const z = tf.stack([rows[0], nan, rows[1], rows[2], nan, rows[3]])
  const mask = tf.tensor1d([1, 0, 1, 1, 0, 1], 'bool')
  const plain = q.forward(kept)
  const out = q.forward(z, { mask })
  const place = [0, 2, 3, 5]
  const width = plain.indices.size / 4
  const expected = new Array(6 * width).fill(-1)
  for (const [i, row] of place.entries())
    for (let j = 0; j < width; j++) expected[row * width + j] = valuesOf(plain.indices)[i * width + j]
  assert.deepEqual(valuesOf(out.indices), expected, 'indices of forward')
  assert.deepEqual(valuesOf(q.encode(z, { mask })), expected, 'indices of encode')
  const quantized = tf.unstack(out.quantized).map(valuesOf)
  for (const [i, row] of place.entries())
    assert.deepEqual(quantized[row], valuesOf(tf.unstack(plain.quantized)[i]), `quantized row ${row}`)
  assert.deepEqual(quantized[1], new Array(q.dim).fill(0), 'a masked row')
  assert.deepEqual(valuesOf(q.decode(out.indices)), valuesOf(out.quantized), 'decode(indices)')
  assert.deepEqual(valuesOf(out.loss), valuesOf(plain.loss), 'loss')
  assert.deepEqual(valuesOf(out.perplexity), valuesOf(plain.perplexity), 'perplexity')
  q.resetUsage()
  for (const call of [() => q.forward(z, { mask }), () => q.encode(z, { mask })]) call()
  const counted = Array.from(q.usage().counts).reduce((a, b) => a + b, 0)
  assert.equal(counted, 2 * plain.indices.size, 'codes counted in usage()')
  const v = tf.variable(z)
  const { value, gradients } = valueAndGradients(() => {
    const { quantized, loss } = q.forward(v, { mask })
    return tf.add(tf.sum(quantized), loss)
  }, [v])
  try {
    const g = tf.unstack(gradients[0] as tf.Tensor).map(valuesOf)
    const zeros = new Array(q.dim).fill(0)
    assert.deepEqual([g[1], g[4]], [zeros, zeros], 'gradients of masked rows')
    assert.ok(
      g[0].every(x => Number.isFinite(x)) && g[0].some(x => x !== 0),
      'gradient of a row that is kept',
    )
  } finally {
    tf.dispose([value, ...gradients.filter(t => t !== null), v])
  }
}
