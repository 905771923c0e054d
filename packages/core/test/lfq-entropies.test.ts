import {
  device,
  fsqBounded,
  fsqQuantize,
  fsqValues,
  lfqEntropies,
  lfqQuantize,
  lfqValues,
  Random,
  tf,
  VqConfigError,
  VqShapeError,
} from '@vq/core'
import { valueAndGradients } from '@vq/core/optim'
import { describe, expect, it } from 'vitest'
import { onBackends } from '../../../test/contract/backends.js'

const normal = (n: number, seed: number): Float32Array => new Random(seed).fillNormal(new Float32Array(n))

/** Both entropies from all N × 2^bits probabilities, in double, each group of bits by itself. */
function bruteForce(z: ArrayLike<number>, bits: number, kappa: number, group: number): [number, number] {
  const n = z.length / bits
  const h = (p: number): number => (p > 0 ? -p * Math.log(p) : 0)
  let perSample = 0
  let ofMean = 0
  for (let first = 0; first < bits; first += group) {
    const held = Math.min(group, bits - first)
    const mean = new Float64Array(2 ** held)
    for (let i = 0; i < n; i++)
      for (let c = 0; c < 2 ** held; c++) {
        // softmax over the codes of κ/2·z·c, normalised by hand
        let p = 1
        for (let j = 0; j < held; j++) {
          const a = kappa * z[i * bits + first + j]!
          p /= 1 + Math.exp((c >> (held - 1 - j)) & 1 ? -a : a)
        }
        mean[c]! += p / n
        perSample += h(p) / n
      }
    for (const p of mean) ofMean += h(p)
  }
  return [perSample, ofMean]
}

onBackends(backend => {
  describe('lfqEntropies', () => {
    it('are those of all codes, and so are their gradients', () => {
      for (const [n, bits, group, kappa] of [
        [1, 1, 1, 4],
        [37, 2, 2, 1],
        [70, 3, 3, 8],
        [33, 5, 5, 2],
        [130, 8, 8, 3],
        [20, 10, 10, 0.5],
        [50, 7, 3, 2],
        [21, 11, 4, 400],
      ] as const) {
        const values = normal(n * bits, bits)
        const [perSample, ofMean] = bruteForce(values, bits, kappa, group)
        const z = tf.tidy(() => tf.variable(tf.tensor2d(values, [n, bits])))
        for (const [which, wanted] of [perSample, ofMean].entries()) {
          const { value, gradients } = valueAndGradients(() => {
            const found = lfqEntropies(z, kappa, group)
            return which === 0 ? found.perSample : found.ofMean
          }, [z])
          expect(Math.abs(value.dataSync()[0]! - wanted)).toBeLessThan(3e-6 * Math.max(1, wanted))
          const g = gradients[0]!.dataSync()
          for (let i = 0; i < values.length; i += Math.ceil(values.length / 12)) {
            const at = (by: number): number => {
              const moved = Float64Array.from(values)
              moved[i]! += by
              return bruteForce(moved, bits, kappa, group)[which]!
            }
            const slope = (at(1e-5) - at(-1e-5)) / 2e-5
            expect(Math.abs(g[i]! - slope), `n ${n}, bits ${bits}, ${which}, at ${i}`).toBeLessThan(
              1e-4 * Math.max(0.01, Math.abs(slope)),
            )
          }
          tf.dispose([value, ...gradients.filter(t => t !== null)])
        }
        z.dispose()
      }
    })

    it('stay finite where vectors are sure of their codes, and have no gradient there', () => {
      const z = tf.tidy(() =>
        tf.variable(
          tf.tensor2d(
            [1, -1, 1, 1, -1, -1].map(v => v * 1e4),
            [3, 2],
          ),
        ),
      )
      const { value, gradients } = valueAndGradients(() => {
        const { perSample, ofMean } = lfqEntropies(z, 400)
        return tf.add(perSample, ofMean)
      }, [z])
      expect(value.dataSync()[0]).toBeCloseTo(Math.log(3), 5) // three of four codes, one vector each
      expect(Array.from(gradients[0]!.dataSync())).toEqual(
        [0, 0, 0, 0, 0, 0].map(() => expect.closeTo(0, 10)),
      )
      tf.dispose([value, z, gradients[0]!])
    })

    it('refuse groups and shapes that do not fit', () => {
      tf.tidy(() => {
        expect(() => lfqEntropies(tf.zeros([2, 4]), 4, 0)).toThrow(VqConfigError)
        expect(() => lfqEntropies(tf.zeros([2, 30]), 4)).toThrow(VqConfigError)
        expect(() => lfqEntropies(tf.zeros([0, 4]), 4)).toThrow(VqShapeError)
        expect(() => lfqEntropies(tf.zeros([2, 4], 'int32'), 4)).toThrow(VqShapeError)
      })
    })

    it.runIf(backend === 'vq-cpu')('do not depend on the number of threads', () => {
      const z = tf.tidy(() => tf.variable(tf.tensor2d(normal(5000 * 12, 4), [5000, 12])))
      const results = [1, 2, 3].map(threads => {
        device.threads = threads
        const { value, gradients } = valueAndGradients(() => {
          const { perSample, ofMean } = lfqEntropies(z, 3)
          return tf.sub(perSample, ofMean)
        }, [z])
        const found = [...value.dataSync(), ...gradients[0]!.dataSync()]
        tf.dispose([value, gradients[0]!])
        return found
      })
      z.dispose()
      expect(results[1]).toEqual(results[0])
      expect(results[2]).toEqual(results[0])
    })
  })

  it('codes of tensors are those of typed arrays on every backend', () => {
    tf.tidy(() => {
      const z = tf.tensor3d(normal(6 * 50 * 4, 8), [6, 50, 4])
      const levels = [7, 4, 2, 16]
      for (const bound of ['original', 'symmetric'] as const) {
        const { quantized, indices } = fsqQuantize(z, { levels, bound })
        expect(indices.shape).toEqual([6, 50])
        expect(fsqValues(indices, { levels, bound }).dataSync()).toEqual(quantized.dataSync())
        const steps = levels.map(l => (bound === 'original' ? 1 / Math.floor(l / 2) : 2 / (l - 1)))
        const off = tf.abs(tf.sub(fsqBounded(z, { levels, bound }), quantized))
        // Nothing is rounded by more than half a level.
        expect(tf.max(tf.div(off, tf.tensor1d(steps))).dataSync()[0]).toBeLessThan(0.5 + 1e-5)
      }
      const { quantized, indices } = lfqQuantize(z, { scale: 2 })
      expect(lfqValues(indices, 4, 2).dataSync()).toEqual(quantized.dataSync())
      expect(() => fsqQuantize(z, { levels: [3, 3] })).toThrow(VqShapeError)
      expect(() => fsqValues(tf.zeros([2]), { levels })).toThrow(VqShapeError)
    })
  })
})
