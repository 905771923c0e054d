import { Random, tf, VqConfigError, VqFormatError } from '@vq/core'
import { loadSafetensors, type StateDict } from '@vq/core/io'
import { Linear, Module } from '@vq/core/nn'
import {
  Adam,
  AdamW,
  cosineSchedule,
  type Optimizer,
  oneCycleSchedule,
  type Schedule,
  SGD,
  stepSchedule,
  type Trainable,
} from '@vq/core/optim'
import { beforeAll, describe, expect, it, test } from 'vitest'
import { onBackends } from '../../../test/contract/backends.js'

// PyTorch's trajectories, written by test/oracle/optim.py.
let oracle: StateDict
beforeAll(async () => {
  oracle = (
    await loadSafetensors(new URL('../../../test/oracle/optim.safetensors', import.meta.url).pathname)
  ).tensors
})
const numbers = (name: string): number[] => Array.from(oracle[name].data as Float32Array)

class Three extends Module {
  readonly a: tf.Variable = this.addParameter('a', tf.tensor(numbers('start.a'), [3, 4]))
  readonly b: tf.Variable = this.addParameter('b', tf.tensor(numbers('start.b'), [5]))
  readonly c: tf.Variable = this.addParameter('c', tf.tensor(numbers('start.c'), [2, 2]))
  get groups(): Trainable<{ learningRate: number; weightDecay: number }> & readonly unknown[] {
    const [a, b, c] = this.namedParameters()
    return [{ parameters: [a, b] }, { parameters: [c], learningRate: 0.02, weightDecay: 0.3 }]
  }
}

const makers: Record<string, (m: Three) => Optimizer> = {
  sgd: m => new SGD(m.groups, { learningRate: 0.1 }),
  momentum: m => new SGD(m.groups, { learningRate: 0.1, momentum: 0.9, weightDecay: 0.01 }),
  nesterov: m => new SGD(m.groups, { learningRate: 0.1, momentum: 0.8, nesterov: true }),
  adam: m => new Adam(m.groups, { learningRate: 0.05, beta1: 0.8, beta2: 0.95, weightDecay: 0.1 }),
  adamw: m => new AdamW(m.groups, { learningRate: 0.05 }),
}

function gradientsOf(step: number): (tf.Tensor | null)[] {
  const g = numbers('gradients').slice(step * 21, (step + 1) * 21)
  const skipped = step === 1 || step === 2
  return [
    tf.tensor(g.slice(0, 12), [3, 4]),
    skipped ? null : tf.tensor(g.slice(12, 17), [5]),
    tf.tensor(g.slice(17), [2, 2]),
  ]
}

onBackends(() => {
  describe.each(Object.keys(makers))('%s', name => {
    it('moves groups as PyTorch does, a parameter that is left out for some steps too', () => {
      const m = new Three()
      const optimizer = makers[name](m)
      for (let step = 0; step < 6; step++) {
        tf.tidy(() => optimizer.step(gradientsOf(step)))
        for (const key of ['a', 'b', 'c'] as const)
          for (const [i, v] of m[key].dataSync().entries())
            expect(
              Math.abs(v - numbers(`${name}.${step}.${key}`)[i]),
              `${key}[${i}], step ${step}`,
            ).toBeLessThan(2e-6)
      }
      const state = optimizer.stateDict()
      for (const key of Object.keys(oracle).filter(k => k.startsWith(`${name}.state.`))) {
        const mine = state[key.slice(name.length + 7)]
        expect(mine.shape, key).toEqual(oracle[key].shape)
        for (const [i, v] of numbers(key).entries())
          expect(Math.abs(Number(mine.data[i]) - v), key).toBeLessThan(1e-5)
      }
      optimizer.dispose()
      m.dispose()
    })

    it('goes on from PyTorch’s own state', () => {
      const m = new Three()
      for (const key of ['a', 'b', 'c'] as const)
        tf.tidy(() => m[key].assign(tf.tensor(numbers(`${name}.4.${key}`), m[key].shape)))
      const donor = makers[name](new Three())
      for (let step = 0; step < 5; step++) tf.tidy(() => donor.step(gradientsOf(step)))
      const own = donor.stateDict()
      const keys = ['exp_avg', 'exp_avg_sq', 'momentum_buffer'].filter(k => own[`${k}.a`] !== undefined)
      const entries = ['a', 'b', 'c'].map((p, i): [number, object] => [
        i,
        Object.fromEntries(['step', ...keys].map(k => [k, own[`${k}.${p}`]])),
      ])
      const torch = { state: new Map(entries), param_groups: [{ params: [0, 1] }, { params: [2], lr: 9 }] }
      const optimizer = makers[name](m)
      optimizer.loadTorchState(torch)
      expect({ ...optimizer.stateDict() }).toEqual({ ...own })
      tf.tidy(() => optimizer.step(gradientsOf(5)))
      for (const key of ['a', 'b', 'c'] as const)
        for (const [i, v] of m[key].dataSync().entries())
          expect(Math.abs(v - numbers(`${name}.5.${key}`)[i])).toBeLessThan(2e-6)
      expect(() => optimizer.loadTorchState({ state: {}, param_groups: [{ params: [0] }] })).toThrow(
        VqFormatError,
      )
      expect(() => optimizer.loadTorchState([])).toThrow(/entries 'state' and 'param_groups'/)
      tf.dispose((donor.parameters as tf.Tensor[]).concat(m.namedParameters().map(p => p.variable)))
      for (const o of [donor, optimizer]) o.dispose()
    })
  })

  it('groups keep their ratio when the rate changes', () => {
    const m = new Three()
    const optimizer = new SGD(m.groups, { learningRate: 0.1 })
    const before = [...m.c.dataSync()]
    tf.tidy(() => optimizer.step([null, null, tf.ones([2, 2])], { learningRate: 0.05 }))
    for (const [i, v] of m.c.dataSync().entries())
      expect(v).toBeCloseTo(before[i] * (1 - 0.01 * 0.3) - 0.01, 6)
    optimizer.dispose()
    m.dispose()
  })
})

const schedules: Record<string, Schedule> = {
  step: stepSchedule({ learningRate: 0.5, every: 4, gamma: 0.3 }),
  multistep: stepSchedule({ learningRate: 0.5, every: [2, 3, 9], gamma: 0.5 }),
  cycle: oneCycleSchedule({ maxLearningRate: 0.5, totalSteps: 12 }),
  'cycle-linear': oneCycleSchedule({
    maxLearningRate: 0.5,
    totalSteps: 12,
    pctStart: 0.21,
    anneal: 'linear',
    divFactor: 10,
    finalDivFactor: 100,
  }),
  cosine: step => cosineSchedule({ learningRate: 0.5, totalSteps: 11, minLearningRate: 0.01 })(step - 1),
}
test.each(Object.keys(schedules))('the schedule %s is PyTorch’s', name => {
  for (const [i, rate] of numbers(`rates.${name}`).entries())
    expect(schedules[name](i + 1), `step ${i + 1}`).toBeCloseTo(rate, 12)
})

test('groups and schedules that make no sense are refused', () => {
  const make = () => new Linear({ inFeatures: 2, outFeatures: 2, random: new Random(1) })
  const [one, two] = [make(), make()]
  expect(() => new Adam([{ parameters: one }, { parameters: two }])).toThrow(
    /received the string "weight".*Give each group a name/,
  )
  expect(() => new Adam([{ parameters: one }, { parameters: one, name: 'again' }])).toThrow(
    /Put each parameter into one group/,
  )
  expect(() => new Adam([])).toThrow(VqConfigError)
  expect(() => new Adam([{ parameters: one, learningRate: 1 }], { learningRate: 0 })).toThrow(VqConfigError)
  expect(() => new Adam([{ parameters: one, beta1: 1 }])).toThrow(/beta1/)
  const both = new Adam([
    { parameters: one, name: 'one' },
    { parameters: two, name: 'two' },
  ])
  expect(Object.keys(both.stateDict())).toContain('exp_avg.two.weight')
  expect(() => stepSchedule({ learningRate: 1, every: [3, 2] })).toThrow(VqConfigError)
  expect(() => oneCycleSchedule({ maxLearningRate: 1, totalSteps: 1 })).toThrow(VqConfigError)
  for (const x of [one, two, both]) x.dispose()
})
