import { gumbelSoftmax, Random, tf, VqConfigError, VqShapeError } from '@vq/core'
import { valueAndGradients } from '@vq/core/optim'
import { expect, it } from 'vitest'
import { onBackends } from '../../../test/contract/backends.js'

const normal = (n: number, seed: number): Float32Array =>
  new Random(seed).fillNormal(new Float32Array(n), 0, 2)
const softmax = (x: number[]): number[] => {
  const most = Math.max(...x)
  const e = x.map(v => Math.exp(v - most))
  const total = e.reduce((a, b) => a + b)
  return e.map(v => v / total)
}

/** Equations 1 and 2 in double, with the numbers that the generator gives: whole blocks of four to a row. */
function oracle(logits: Float32Array, n: number, k: number, tau: number, generator: Random): number[][] {
  return Array.from({ length: n }, (_, r) => {
    const noise = Array.from({ length: 4 * Math.ceil(k / 4) }, () => {
      const u = ((generator.bits() >>> 8) + 0.5) * 2 ** -24
      return -Math.log(-Math.log(Math.min(u, 1 - 2 ** -24)))
    })
    return softmax(Array.from({ length: k }, (_, i) => (logits[r * k + i]! + noise[i]!) / tau))
  })
}

onBackends(() => {
  it('gumbelSoftmax samples as the equations say, the same on every backend', () => {
    for (const [n, k, tau] of [
      [1, 1, 1],
      [5, 3, 0.5],
      [17, 16, 2],
      [9, 37, 1],
      [3, 200, 0.3],
    ] as const) {
      const values = normal(n * k, k)
      const weights = normal(n * k, k + 1)
      const generator = new Random(7)
      generator.bits() // a block that is begun is left
      const { block } = generator.state
      const y = oracle(values, n, k, tau, Random.at({ seed: [7, 0], stream: [0, 0], block }))
      const p = Array.from({ length: n }, (_, r) => softmax(Array.from(values.slice(r * k, (r + 1) * k))))
      const kl = p.map(row => row.reduce((s, v) => s + v * Math.log(v * k), 0))
      const logits = tf.tidy(() => tf.variable(tf.tensor2d(values, [n, k])))
      const w = tf.tensor2d(weights, [n, k])
      tf.tidy(() => {
        const found = gumbelSoftmax(logits, { temperature: tau, generator })
        const samples = found.samples.dataSync()
        for (const [i, v] of y.flat().entries()) expect(Math.abs(samples[i]! - v)).toBeLessThan(3e-5)
        expect(Array.from(found.indices.dataSync())).toEqual(y.map(row => row.indexOf(Math.max(...row))))
        expect(found.divergence.dataSync()[0]).toBeCloseTo(kl.reduce((a, b) => a + b) / n, 4)
        // The next numbers are new ones.
        if (k > 1) expect(gumbelSoftmax(logits, { generator }).samples.dataSync()).not.toEqual(samples)
      })
      const { value, gradients } = valueAndGradients(() => {
        const again = Random.at({ seed: [7, 0], stream: [0, 0], block })
        const { samples, divergence } = gumbelSoftmax(logits, { temperature: tau, generator: again })
        return tf.add(tf.sum(tf.mul(samples, w)), tf.mul(divergence, 3)) as tf.Scalar
      }, [logits])
      const g = gradients[0]!.dataSync()
      for (let r = 0; r < n; r++) {
        const dot = y[r]!.reduce((s, v, i) => s + v * weights[r * k + i]!, 0)
        for (let i = 0; i < k; i++) {
          const through = (y[r]![i]! * (weights[r * k + i]! - dot)) / tau
          const wanted = through + (3 / n) * p[r]![i]! * (Math.log(p[r]![i]! * k) - kl[r]!)
          expect(Math.abs(g[r * k + i]! - wanted)).toBeLessThan(1e-4)
        }
      }
      tf.dispose([value, logits, w, gradients[0]!])
    }
  })

  it('gumbelSoftmax refuses what has no distribution', () => {
    tf.tidy(() => {
      expect(() => gumbelSoftmax(tf.zeros([2, 3]), { temperature: 0 })).toThrow(VqConfigError)
      expect(() => gumbelSoftmax(tf.zeros([0, 3]))).toThrow(VqShapeError)
      expect(() => gumbelSoftmax(tf.zeros([2, 3], 'int32'))).toThrow(VqShapeError)
    })
  })
})
