import assert from 'node:assert/strict'
import * as tf from '@tensorflow/tfjs-core'
import { VqFormatError } from '../errors.js'
import type { StateDict } from '../io/stored-tensor.js'
import type { Module } from '../nn/module.js'
import { valueAndGradients } from '../optim/gradients.js'
import {
  assertClose,
  assertFinite,
  type ContractCheck,
  checkOn,
  sample,
  snapshot,
  throwsTyped,
  valuesOf,
} from './contract.js'

export interface ModuleContractOptions<M extends Module> {
  /** A fresh module; each call must give one with the same weights. */
  make: () => M
  /** Runs it on some fixed input and gives the tensor, of floats, that the checks look at. */
  run: (module: M) => tf.Tensor
  /**
   * How far a gradient may lie from the differences of the output, relative to its own norm and the square root of what it
   * is made of; false where they are not meant to agree, as behind a straight-through estimator. Default 0.02.
   */
  gradients?: number | false
  /** Names of parameters that `run` does not use and that therefore have no gradient. */
  unused?: readonly string[]
}

/**
 * What every `Module` promises: state that can be saved, loaded and refused; gradients for all parameters; freezing;
 * nothing left in memory.
 */
export function moduleContract<M extends Module>(options: ModuleContractOptions<M>): ContractCheck[] {
  const { make, run, gradients: tolerance = 0.02, unused = [] } = options
  const check = (name: string, test: (m: M) => void): ContractCheck => checkOn(make, name, test)
  return [
    check('gives finite numbers, the same again in evaluation, and changes no state by that', m => {
      m.eval()
      const before = snapshot(m)
      const [first, second] = [run(m), run(m)]
      assert.equal(first.dtype, 'float32', 'type of the output')
      assertFinite(first, 'output')
      assert.deepEqual(valuesOf(second), valuesOf(first), 'two runs in evaluation')
      assert.deepEqual(snapshot(m), before, 'the state after evaluation')
    }),

    check('passes train() and eval() to every part', m => {
      for (const on of [false, true]) {
        m.train(on)
        for (const [name, part] of m.namedModules()) assert.equal(part.training, on, `training of '${name}'`)
      }
    }),

    check('is a copy of another after loading its state, also after training has moved it', m => {
      const copy = make()
      try {
        m.train()
        for (let i = 0; i < 3; i++) run(m)
        for (const { variable } of [...copy.namedParameters(), ...copy.namedBuffers()])
          tf.tidy(() => variable.assign(tf.add(variable, tf.scalar(1, variable.dtype))))
        copy.loadStateDict(m.stateDict())
        const extra = m.extraState()
        if (extra !== undefined) copy.loadExtraState(JSON.parse(JSON.stringify(extra)))
        assert.deepEqual(snapshot(copy), snapshot(m), 'the state of the copy')
        assert.deepEqual(
          valuesOf(run(copy.eval() as M)),
          valuesOf(run(m.eval() as M)),
          'the output of the copy',
        )
      } finally {
        copy.dispose()
      }
    }),

    check('names and types its state as files hold it', m => {
      for (const [name, { dtype, shape, data }] of Object.entries(m.stateDict())) {
        assert.match(name, /^[^.]+(\.[^.]+)*$/, 'a name of parts between dots')
        assert.ok(['F32', 'I32', 'I64'].includes(dtype), `'${name}' is ${dtype}`)
        assert.equal(
          data.length,
          shape.reduce((a, b) => a * b, 1),
          `'${name}': values and shape`,
        )
      }
    }),

    check('refuses a state with an entry too few, too many or misshapen, and stays as it was', m => {
      const state = m.stateDict()
      const [name] = Object.keys(state)
      if (name === undefined) return
      const before = snapshot(m)
      const { [name]: first } = state
      const rest = withoutFirst(m)
      const misshapen = { ...first, shape: [...first.shape, 1, 1] }
      for (const wrong of [rest, { ...state, 'nobody.knows': first }, { ...state, [name]: misshapen }])
        throwsTyped(() => m.loadStateDict(wrong), VqFormatError)
      assert.deepEqual(snapshot(m), before, 'the state after a refusal')
    }),

    check('has a gradient for every parameter that it uses, that of differences', m => {
      m.eval()
      const parameters = m.namedParameters().filter(p => p.variable.trainable)
      const used = parameters.filter(p => !unused.includes(p.name))
      if (used.length === 0) return
      const weights = sample(run(m).shape, 5)
      const loss = (): tf.Scalar => tf.sum(tf.mul(run(m), weights)) as tf.Scalar
      const { value, gradients } = valueAndGradients(
        loss,
        used.map(p => p.variable),
      )
      try {
        for (const [i, { name, variable }] of used.entries()) {
          const g = gradients[i]
          assert.ok(g !== null, `'${name}' has no gradient: name it in 'unused', or do not detach it`)
          assert.deepEqual(g.shape, variable.shape, `shape of the gradient of '${name}'`)
          assertFinite(g, `gradient of '${name}'`)
          if (tolerance !== false) compareWithDifferences(name, variable, g, run, m, weights, tolerance)
        }
      } finally {
        tf.dispose([value, ...gradients.filter(g => g !== null)])
      }
    }),

    check('keeps its parameters while frozen, and lets them go again', m => {
      m.freeze()
      for (const { name, variable } of m.namedParameters())
        assert.equal(variable.trainable, false, `'${name}' is frozen`)
      for (const [name, part] of m.namedModules())
        assert.equal(part.frozen, true, `'${name}' knows that it is frozen`)
      m.freeze(false)
      for (const { name, variable } of m.namedParameters())
        assert.equal(variable.trainable, true, `'${name}' may learn again`)
    }),

    check('keeps the number of tensors over steps of training', m => {
      m.train()
      const variables = m.namedParameters().map(p => p.variable)
      const counts = [1, 2, 3].map(() => {
        const { value, gradients } = valueAndGradients(() => tf.mean(run(m)) as tf.Scalar, variables)
        tf.dispose([value, ...gradients.filter(g => g !== null)])
        return tf.memory().numTensors
      })
      assert.equal(counts[2], counts[0], 'tensors after three steps and after one')
    }),
  ]
}

// The state without its first entry, under every name that it has: one name of a tied parameter would be enough.
function withoutFirst(m: Module): StateDict {
  const slots = [...m.slotsToLoad()].map(([name, slot]) => ({
    name,
    held: 'variable' in slot ? slot.variable : slot,
  }))
  const gone = new Set(slots.filter(({ held }) => held === slots[0]?.held).map(({ name }) => name))
  return Object.fromEntries(Object.entries(m.stateDict()).filter(([name]) => !gone.has(name)))
}

// Along one direction: ∇·d against (f(p + h·d) − f(p − h·d)) / 2h, the difference summed in float64 so that what does not
// depend on p cancels before it is rounded. Two steps: a kink between them shows as their disagreement, and is passed over.
function compareWithDifferences<M extends Module>(
  name: string,
  variable: tf.Variable,
  gradient: tf.Tensor,
  run: (module: M) => tf.Tensor,
  module: M,
  weights: tf.Tensor,
  tolerance: number,
): void {
  const start = tf.clone(variable)
  const scale = Math.max(1e-2, Math.sqrt(valuesOf(tf.mean(tf.square(start)))[0]))
  const direction = sample(variable.shape, 11)
  const w = valuesOf(weights)
  const at = (h: number): number[] => {
    tf.tidy(() => variable.assign(tf.add(start, tf.mul(direction, h))))
    return valuesOf(run(module))
  }
  const slope = (h: number): number => {
    const [up, down] = [at(h), at(-h)]
    return up.reduce((sum, v, i) => sum + (v - down[i]) * w[i], 0) / (2 * h)
  }
  try {
    const [coarse, fine] = [slope(scale * 2e-2), slope(scale * 5e-3)]
    const g = valuesOf(gradient)
    const d = valuesOf(direction)
    const found = g.reduce((sum, v, i) => sum + v * d[i], 0)
    const size = Math.sqrt(g.reduce((sum, v) => sum + v * v, 0)) + 1e-3
    const unsure = Math.abs(coarse - fine)
    assert.ok(
      Math.abs(found - fine) <= tolerance * (Math.abs(fine) + size) + 2 * unsure,
      `the gradient of '${name}' along a direction is ${found}, differences give ${fine} and ${coarse}`,
    )
  } finally {
    variable.assign(start)
  }
}

/** Rows of a batch come out as they do alone, to `tolerance` of the largest. */
export function assertBatchIndependent(
  x: tf.Tensor,
  run: (x: tf.Tensor) => tf.Tensor,
  tolerance: number,
  what: string,
): void {
  const all = run(x)
  for (let i = 0; i < x.shape[0]; i++) {
    const one = run(tf.slice(x, [i, ...x.shape.slice(1).map(() => 0)], [1, ...x.shape.slice(1)]))
    const wanted = tf.slice(all, [i, ...all.shape.slice(1).map(() => 0)], [1, ...all.shape.slice(1)])
    assertClose(valuesOf(one), valuesOf(wanted), tolerance, `${what}: sample ${i} alone and in a batch`)
  }
}
