// What every quantizer promises, run for each method and each of its options.
import { Random, tf, VqShapeError, VqValueError } from '@vq/core'
import { valueAndGradients } from '@vq/core/optim'
import type { BaseQuantizer } from '@vq/quantizers'
import { describe, expect, it } from 'vitest'
import { onBackends } from './backends.js'

export interface Case {
  name: string
  /** Makes it in training mode; vectors of length `dim` may be quantized at once. */
  make: () => BaseQuantizer
}

const values = (x: tf.Tensor): number[] => Array.from(x.dataSync())

/** Vectors [...shape, dim] of N(0, 1). */
export function vectors(shape: number[], seed = 1): tf.Tensor {
  const size = shape.reduce((a, b) => a * b, 1)
  return tf.tensor(new Random(seed).fillNormal(new Float32Array(size)), shape)
}

export function quantizerContract(cases: Case[]): void {
  onBackends(() => {
    describe.each(cases)('$name', ({ make }) => {
      const withQuantizer = (test: (q: BaseQuantizer) => void): void => {
        const quantizer = make()
        try {
          tf.tidy(() => {
            test(quantizer)
          })
        } finally {
          quantizer.dispose()
        }
      }

      it('gives shapes and types as promised, for vectors of any rank', () =>
        withQuantizer(q => {
          for (const lead of [[5], [2, 3], [2, 3, 4], []]) {
            const z = vectors([...lead, q.dim])
            const out = q.forward(z)
            expect(out.quantized.shape).toEqual(z.shape)
            expect([out.indices.dtype, out.indices.shape.slice(0, lead.length)]).toEqual(['int32', lead])
            expect([out.loss.shape, out.perplexity.shape]).toEqual([[], []])
            const parts = Object.values(out.losses).reduce((sum, t) => sum + values(t)[0], 0)
            expect(values(out.loss)[0]).toBeCloseTo(parts, 5)
            expect(values(out.perplexity)[0]).toBeGreaterThanOrEqual(1 - 1e-6)
            expect(values(out.perplexity)[0]).toBeLessThanOrEqual(q.codebookSize + 1e-3)
          }
        }))

      it('decodes its codes to what it quantized, bit for bit, in evaluation', () =>
        withQuantizer(q => {
          q.eval()
          const z = vectors([7, 3, q.dim])
          const { quantized, indices } = q.forward(z)
          expect(values(q.decode(indices))).toEqual(values(quantized))
          expect(values(q.encode(z))).toEqual(values(indices))
        }))

      it('changes nothing in evaluation, and nothing depends on the batch', () =>
        withQuantizer(q => {
          q.eval()
          const before = JSON.stringify(Object.values(q.stateDict()).map(t => Array.from(t.data, Number)))
          const z = vectors([11, q.dim])
          const all = q.forward(z)
          const one = tf.concat(tf.unstack(z).map(row => q.forward(tf.expandDims(row, 0)).quantized))
          expect(values(one)).toEqual(values(all.quantized))
          const after = JSON.stringify(Object.values(q.stateDict()).map(t => Array.from(t.data, Number)))
          expect(after).toBe(before)
        }))

      it('leaves masked vectors out: index −1, output 0, no gradient, no part in the loss, NaN or not', () =>
        withQuantizer(q => {
          q.eval()
          const kept = vectors([4, q.dim])
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
            for (let j = 0; j < width; j++) expected[row * width + j] = values(plain.indices)[i * width + j]
          expect(values(out.indices)).toEqual(expected)
          expect(values(q.encode(z, { mask }))).toEqual(expected)
          const quantized = tf.unstack(out.quantized).map(values)
          for (const [i, row] of place.entries())
            expect(quantized[row]).toEqual(values(tf.unstack(plain.quantized)[i]))
          expect(quantized[1]).toEqual(new Array(q.dim).fill(0))
          expect(values(q.decode(out.indices))).toEqual(values(out.quantized))
          expect(values(out.loss)).toEqual(values(plain.loss))
          expect(values(out.perplexity)).toEqual(values(plain.perplexity))
          const v = tf.variable(z)
          const { value, gradients } = valueAndGradients(() => {
            const { quantized, loss } = q.forward(v, { mask })
            return tf.add(tf.sum(quantized), loss)
          }, [v])
          const g = tf.unstack(gradients[0] as tf.Tensor).map(values)
          expect([g[1], g[4]]).toEqual([new Array(q.dim).fill(0), new Array(q.dim).fill(0)])
          expect(g[0].every(x => Number.isFinite(x))).toBe(true)
          expect(g[0].some(x => x !== 0)).toBe(true)
          tf.dispose([value, ...gradients.filter(t => t !== null), v])
        }))

      it('takes a batch in which everything is masked, and an empty one', () =>
        withQuantizer(q => {
          const out = q.forward(vectors([2, q.dim]), { mask: tf.zeros([2], 'bool') })
          expect([...values(out.quantized), ...values(out.loss)].every(x => x === 0)).toBe(true)
          expect(values(out.indices).every(i => i === -1)).toBe(true)
          const empty = q.forward(tf.zeros([0, q.dim]))
          expect([empty.quantized.shape, values(empty.loss)]).toEqual([[0, q.dim], [0]])
        }))

      it('counts how often codes were chosen', () =>
        withQuantizer(q => {
          q.eval()
          const indices = [
            ...values(q.encode(vectors([30, q.dim]))),
            ...values(q.forward(vectors([20, q.dim], 2)).indices),
          ]
          const { counts, used, ratio } = q.usage()
          for (let k = 0; k < q.codebookSize; k++) expect(counts[k]).toBe(indices.filter(i => i === k).length)
          expect(used).toBe(new Set(indices).size)
          expect(ratio).toBe(used / q.codebookSize)
          q.resetUsage()
          expect(q.usage()).toMatchObject({ used: 0, perplexity: 1 })
        }))

      it('refuses NaN and infinity by its own name and changes nothing', () =>
        withQuantizer(q => {
          for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
            const z = tf.concat([vectors([2, q.dim]), tf.fill([1, q.dim], bad)])
            const before = JSON.stringify(Object.values(q.stateDict()).map(t => Array.from(t.data, Number)))
            for (const call of [() => q.forward(z), () => q.encode(z)]) {
              expect(call).toThrow(VqValueError)
              expect(call).toThrow(new RegExp(`${q.constructor.name}.*row 2`))
            }
            const after = JSON.stringify(Object.values(q.stateDict()).map(t => Array.from(t.data, Number)))
            expect(after).toBe(before)
          }
        }))

      it('refuses wrong lengths, masks, and codes that it does not have', () =>
        withQuantizer(q => {
          expect(() => q.forward(tf.zeros([3, q.dim + 1]))).toThrow(VqShapeError)
          expect(() => q.forward(tf.zeros([3, q.dim], 'int32'))).toThrow(VqShapeError)
          expect(() => q.forward(tf.zeros([3, q.dim]), { mask: tf.ones([2]) })).toThrow(/a mask \[3\]/)
          const { indices } = q.forward(vectors([2, q.dim]))
          expect(() => q.decode(tf.fill(indices.shape, q.codebookSize, 'int32'))).toThrow(VqValueError)
          expect(() => q.decode(tf.fill(indices.shape, -2, 'int32'))).toThrow(VqValueError)
          expect(() => q.decode(tf.zeros(indices.shape))).toThrow(/int32 indices/)
        }))

      it('carries on exactly from its state', () =>
        withQuantizer(q => {
          for (let i = 0; i < 3; i++) q.forward(vectors([16, q.dim], i))
          const copy = make()
          copy.loadStateDict(q.stateDict())
          const extra = q.extraState()
          if (extra !== undefined) copy.loadExtraState(JSON.parse(JSON.stringify(extra)))
          const [a, b] = [q, copy].map(x => x.forward(vectors([16, q.dim], 9)))
          expect(values(b.quantized)).toEqual(values(a.quantized))
          expect(Object.entries(copy.stateDict())).toEqual(Object.entries(q.stateDict()))
          copy.dispose()
        }))

      it('keeps the number of tensors over steps', () =>
        withQuantizer(q => {
          const z = tf.variable(vectors([16, q.dim]))
          const counts = [1, 2, 3].map(() => {
            const { value, gradients } = valueAndGradients(() => {
              const { quantized, loss } = q.forward(z)
              return tf.add(tf.mean(quantized), loss)
            }, [z])
            tf.dispose([value, ...gradients.filter(t => t !== null)])
            return tf.memory().numTensors
          })
          expect(counts[2]).toBe(counts[0])
          z.dispose()
        }))
    })
  })
}
