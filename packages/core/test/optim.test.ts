import { customGradient, noGrad, Random, tf, VqConfigError, VqFormatError, VqValueError } from '@vq/core'
import { Linear, Module } from '@vq/core/nn'
import {
  Adam,
  AdamW,
  clipGradNorm,
  constantSchedule,
  cosineSchedule,
  type Optimizer,
  SGD,
  trainStep,
  valueAndGradients,
} from '@vq/core/optim'
import { describe, expect, it } from 'vitest'
import { onBackends } from '../../../test/contract/backends.js'

const drawn = (n: number, seed: number): Float32Array => new Random(seed).fillNormal(new Float32Array(n))

class Weights extends Module {
  readonly a = this.addParameter('a', tf.tensor1d([1, -2, 3]))
  readonly b = this.addParameter('b', tf.tensor2d([[0.5, -0.5]]))
  get values(): number[] {
    return [...this.a.dataSync(), ...this.b.dataSync()]
  }
}

type Rule = (p: number, g: number, state: { m: number; v: number }, step: number) => number

// PyTorch's documented updates in float64.
const rules: Record<string, [(m: Module) => Optimizer, Rule]> = {
  Adam: [
    m => new Adam(m, { learningRate: 0.1, weightDecay: 0.2 }),
    (p, g0, s, t) => {
      const g = g0 + 0.2 * p
      s.m = 0.9 * s.m + 0.1 * g
      s.v = 0.999 * s.v + 0.001 * g * g
      return p - (0.1 * (s.m / (1 - 0.9 ** t))) / (Math.sqrt(s.v / (1 - 0.999 ** t)) + 1e-8)
    },
  ],
  AdamW: [
    m => new AdamW(m, { learningRate: 0.1, beta1: 0.8, beta2: 0.9 }),
    (p, g, s, t) => {
      s.m = 0.8 * s.m + 0.2 * g
      s.v = 0.9 * s.v + 0.1 * g * g
      const shrunk = p * (1 - 0.1 * 0.01)
      return shrunk - (0.1 * (s.m / (1 - 0.8 ** t))) / (Math.sqrt(s.v / (1 - 0.9 ** t)) + 1e-8)
    },
  ],
  SGD: [
    m => new SGD(m, { learningRate: 0.1, momentum: 0.9, weightDecay: 0.01 }),
    (p, g, s) => {
      s.m = 0.9 * s.m + g + 0.01 * p
      return p - 0.1 * s.m
    },
  ],
}

onBackends(() => {
  describe.each(Object.entries(rules))('%s', (_, [make, rule]) => {
    const gradient = (i: number): Float32Array => drawn(5, 40 + i)
    const step = (optimizer: Optimizer, i: number, scale: number): void =>
      tf.tidy(() => {
        const g = gradient(i)
        const parts = [tf.tensor1d(g.slice(0, 3)), tf.tensor2d(g.slice(3), [1, 2])]
        optimizer.step(parts, { gradientScale: scale })
      })

    it('moves as its formula says, gradients scaled first', () => {
      const w = new Weights()
      const optimizer = make(w)
      const p = w.values
      const states = p.map(() => ({ m: 0, v: 0 }))
      for (let i = 1; i <= 5; i++) {
        step(optimizer, i, 0.5)
        const g = gradient(i)
        for (let j = 0; j < 5; j++) p[j] = rule(p[j], 0.5 * g[j], states[j], i)
        for (const [j, value] of w.values.entries()) expect(value).toBeCloseTo(p[j], 5)
      }
      optimizer.dispose()
      w.dispose()
    })

    it('goes on from its state exactly', () => {
      const [a, b] = [new Weights(), new Weights()]
      const [first, second] = [make(a), make(b)]
      for (let i = 1; i <= 3; i++) step(first, i, 1)
      second.loadStateDict(first.stateDict())
      b.loadStateDict(a.stateDict())
      step(first, 4, 1)
      step(second, 4, 1)
      expect(b.values).toEqual(a.values)
      const { 'step.a': _, ...rest } = first.stateDict()
      expect(() => second.loadStateDict(rest as never)).toThrow(VqFormatError)
      for (const x of [first, second, a, b]) x.dispose()
    })

    it('leaves frozen parameters and those without gradient as they are', () => {
      const w = new Weights()
      const optimizer = make(w)
      w.a.trainable = false
      tf.tidy(() => {
        optimizer.step([tf.ones([3]), null])
      })
      expect(w.values).toEqual([1, -2, 3, 0.5, -0.5])
      optimizer.dispose()
      w.dispose()
    })
  })

  describe('valueAndGradients', () => {
    it('agrees with tf.variableGrads where tensors are used several times', () => {
      const v = [2, 3].map(seed => tf.tidy(() => tf.variable(tf.tensor2d(drawn(9, seed), [3, 3]))))
      const f = (): tf.Scalar => {
        const y = tf.relu(tf.matMul(v[0], tf.add(v[1], v[0])))
        return tf.mean(tf.mul(tf.add(y, v[0]), tf.square(y))) as tf.Scalar
      }
      const ours = valueAndGradients(f, v)
      const theirs = tf.variableGrads(f, v)
      expect(ours.value.dataSync()[0]).toBeCloseTo(theirs.value.dataSync()[0], 6)
      for (const [i, x] of v.entries()) {
        const [a, b] = [ours.gradients[i]!.dataSync(), theirs.grads[x.name].dataSync()]
        for (let j = 0; j < 9; j++) expect(a[j]).toBeCloseTo(b[j], 5)
      }
      tf.dispose([ours.value, theirs.value, theirs.grads, ...v])
      for (const g of ours.gradients) g?.dispose()
    })

    it('gives null where there is no path, and nothing flows through noGrad', () => {
      const [a, b] = [1, 2].map(x => tf.tidy(() => tf.variable(tf.scalar(x))))
      const f = (): tf.Scalar =>
        tf.mul(
          a,
          noGrad(() => tf.mul(b, 3)),
        )
      const { value, gradients } = valueAndGradients(f, [a, b])
      expect([value.dataSync()[0], gradients[0]!.dataSync()[0], gradients[1]]).toEqual([6, 6, null])
      tf.dispose([value, gradients[0]!, a, b])
    })

    it('frees everything when the forward or the backward throws', () => {
      const a = tf.tidy(() => tf.variable(tf.tensor1d([1, 2])))
      const before = tf.memory().numTensors
      expect(() =>
        valueAndGradients(() => {
          tf.square(tf.exp(a))
          throw new Error('forward')
        }, [a]),
      ).toThrow('forward')
      const failing = (): tf.Scalar => {
        const y = customGradient(
          [tf.exp(a)],
          () => tf.ones([2]),
          () => {
            throw new Error('backward')
          },
        )
        return tf.sum(tf.square(y)) as tf.Scalar
      }
      expect(() => valueAndGradients(failing, [a])).toThrow('backward')
      expect(tf.memory().numTensors).toBe(before)
      a.dispose()
    })

    it('hands a gradient through that is the very tensor it was given', () => {
      const a = tf.tidy(() => tf.variable(tf.tensor1d([1, 2])))
      const through = (x: tf.Tensor): tf.Tensor =>
        customGradient(
          [x],
          () => tf.mul(x, 5),
          dy => [dy],
        )
      const f = (): tf.Scalar => tf.sum(through(through(tf.square(a)))) as tf.Scalar
      const { value, gradients } = valueAndGradients(f, [a])
      expect([...gradients[0]!.dataSync()]).toEqual([2, 4])
      tf.dispose([value, gradients[0]!, a])
    })
  })

  describe('trainStep', () => {
    it('clips by the global norm, reads the scalars and leaks nothing', () => {
      const w = new Weights()
      const optimizer = new SGD(w, { learningRate: 1 })
      // The gradient of 3a₀ + 4b₀ is (3, 0, 0, 4, 0), of norm 5.
      const forward = (): { loss: tf.Scalar; twice: tf.Tensor; image: tf.Tensor } => {
        const c = tf.tensor1d([3, 0, 0])
        const loss = tf.add(tf.sum(tf.mul(w.a, c)), tf.sum(tf.mul(w.b, tf.tensor2d([[4, 0]])))) as tf.Scalar
        return { loss, twice: tf.mul(loss, 2), image: tf.zeros([4, 4]) }
      }
      const first = trainStep(optimizer, forward, { clipNorm: 1 })
      expect(first).toEqual({ loss: 5, gradientNorm: 5, scalars: { loss: 5, twice: 10 } })
      for (const [i, x] of [1 - 0.6, -2, 3, 0.5 - 0.8, -0.5].entries()) expect(w.values[i]).toBeCloseTo(x, 5)
      const before = tf.memory().numTensors
      for (let i = 0; i < 20; i++) trainStep(optimizer, forward, { clipNorm: 1 })
      expect(tf.memory().numTensors).toBe(before)
      optimizer.dispose()
      w.dispose()
    })

    it('refuses a loss that is not finite, with the parameters as they were', () => {
      const w = new Weights()
      const optimizer = new Adam(w)
      const before = tf.memory().numTensors
      const forward = (): { loss: tf.Scalar } => ({ loss: tf.sum(tf.log(w.a)) as tf.Scalar })
      expect(() => trainStep(optimizer, forward)).toThrow(VqValueError)
      expect([w.values, optimizer.steps, tf.memory().numTensors]).toEqual([[1, -2, 3, 0.5, -0.5], 0, before])
      optimizer.dispose()
      w.dispose()
    })

    it('fits a line', () => {
      const line = new Linear({ inFeatures: 2, outFeatures: 1, random: new Random(1) })
      const optimizer = new Adam(line, { learningRate: 0.05 })
      const x = tf.tensor2d(drawn(64, 1), [32, 2])
      const y = tf.tidy(() => tf.add(tf.matMul(x, tf.tensor2d([[2], [-3]])), 0.5))
      let loss = 0
      for (let i = 0; i < 300; i++)
        ({ loss } = trainStep(optimizer, () => ({ loss: tf.mean(tf.square(tf.sub(line.forward(x), y))) })))
      expect(loss).toBeLessThan(1e-4)
      const state = line.stateDict()
      for (const [i, v] of [2, -3].entries()) expect(state.weight.data[i]).toBeCloseTo(v, 1)
      for (const t of [optimizer, line, x, y]) t.dispose()
    })
  })

  it('clipGradNorm gives the norm over all gradients and PyTorch’s scale', () => {
    const g = [tf.tensor1d([3, 0]), null, tf.tensor2d([[4]])]
    expect(clipGradNorm(g, 1)).toEqual({ norm: 5, scale: 1 / (5 + 1e-6) })
    expect(clipGradNorm(g, 10)).toEqual({ norm: 5, scale: 1 })
    expect(() => clipGradNorm(g, 0)).toThrow(VqConfigError)
    for (const t of g) t?.dispose()
  })
})

describe('schedules', () => {
  it('rise linearly, then fall by half a cosine', () => {
    const rate = cosineSchedule({ learningRate: 2, totalSteps: 10, warmupSteps: 4, minLearningRate: 1 })
    expect([1, 2, 4].map(rate)).toEqual([0.5, 1, 2])
    expect(rate(7)).toBeCloseTo(1.5, 12)
    expect([rate(10), rate(50)]).toEqual([1, 1])
    expect([1, 2, 3].map(constantSchedule(4, 2))).toEqual([2, 4, 4])
    expect(() => cosineSchedule({ learningRate: 1, totalSteps: 3, warmupSteps: 4 })).toThrow(VqConfigError)
  })
})
