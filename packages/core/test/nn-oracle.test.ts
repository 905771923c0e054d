import { tf } from '@vq/core'
import { loadSafetensors, type StateDict, type StoredTensor } from '@vq/core/io'
import { diskShape, type Module, toDisk } from '@vq/core/nn'
import { beforeAll, describe, expect, it } from 'vitest'
import { onBackends } from '../../../test/contract/backends.js'
import { type Case, cases } from './nn-cases.js'

let oracle: StateDict

beforeAll(async () => {
  oracle = (await loadSafetensors(new URL('../../../test/oracle/nn.safetensors', import.meta.url).pathname))
    .tensors
})

/** What the oracle holds of a case, by the rest of its names. */
function part(name: string, section: string): StateDict {
  const prefix = `${name}.${section}`
  const found = Object.entries(oracle).filter(([key]) => key === prefix || key.startsWith(`${prefix}.`))
  return Object.fromEntries(found.map(([key, tensor]) => [key.slice(prefix.length + 1), tensor]))
}

// PyTorch's channels are axis 1, ours the last.
const last = (rank: number): number[] => [0, ...Array.from({ length: rank - 2 }, (_, i) => i + 2), 1]
const first = (rank: number): number[] => [0, rank - 1, ...Array.from({ length: rank - 2 }, (_, i) => i + 1)]

function fromOracle({ dtype, shape, data }: StoredTensor, image: boolean): tf.Tensor {
  return tf.tidy(() => {
    const x = tf.tensor(data.slice() as Float32Array, shape, dtype === 'I32' ? 'int32' : 'float32')
    return image && x.rank > 2 ? tf.transpose(x, last(x.rank)) : x
  })
}

function toOracle(x: tf.Tensor, image: boolean): tf.Tensor {
  return image && x.rank > 2 ? tf.transpose(x, first(x.rank)) : x
}

function near(what: string, actual: ArrayLike<number>, expected: ArrayLike<number>, reference = 0): void {
  expect(actual.length, what).toBe(expected.length)
  const largest = Math.max(reference, ...Array.from(expected, Math.abs))
  for (let i = 0; i < expected.length; i++)
    expect(
      Math.abs(actual[i] - expected[i]),
      `${what} at ${i}: ${actual[i]} for ${expected[i]}`,
    ).toBeLessThanOrEqual(1e-5 * largest)
}

function run(name: string, { make, image = false, forward, training, after }: Case): void {
  const module: Module = make()
  module.train(training ?? true)
  const state = part(name, 'state')
  module.loadStateDict(state)
  expect(module.stateDict()).toEqual(state)
  const variables: tf.Variable[] = []
  const inputs = Object.entries(part(name, 'input')).map(([, stored]) => {
    const x = fromOracle(stored, image)
    if (stored.dtype === 'I32') return x
    const variable = tf.variable(x)
    x.dispose()
    variables.push(variable)
    return variable
  })
  const outputs = Object.entries(part(name, 'output'))
  const cotangents = part(name, 'dy')
  const trained = module.namedParameters()
  const compute = (): tf.Scalar => {
    const result = forward(module as never, ...inputs)
    const named = result instanceof tf.Tensor ? { '': result } : result
    const products = outputs.map(([key, expected]) => {
      const y = toOracle(named[key], image)
      expect(y.shape).toEqual(expected.shape)
      near(`output ${key}`, y.dataSync(), expected.data as Float32Array)
      const { shape, data } = cotangents[key]
      return tf.sum(tf.mul(y, tf.tensor(data.slice() as Float32Array, shape)))
    })
    return tf.addN(products) as tf.Scalar
  }
  const wanted = [...trained.map(p => p.variable), ...variables]
  const { value, grads } = tf.variableGrads(compute, wanted)
  value.dispose()
  const expected = part(name, 'grad')
  // Of parameters that do not matter, such as keys' biases, PyTorch's gradients are rounding errors.
  const reference =
    1e-2 * Math.max(0, ...Object.values(expected).flatMap(g => Array.from(g.data as Float32Array, Math.abs)))
  for (const { name: parameter, variable, layout } of trained) {
    const stored = expected[parameter]
    const g = grads[variable.name]
    expect(diskShape(g.shape, layout), parameter).toEqual(stored.shape)
    near(
      `gradient of ${parameter}`,
      toDisk(g.dataSync() as Float32Array, g.shape, layout),
      stored.data as Float32Array,
      reference,
    )
  }
  const byInput = part(name, 'grad_input')
  for (const [i, x] of inputs.entries()) {
    if (!(x instanceof tf.Variable) || grads[x.name] === undefined) continue
    tf.tidy(() => {
      const stored = byInput[String(i)]
      near(`gradient of input ${i}`, toOracle(grads[x.name], image).dataSync(), stored.data as Float32Array)
    })
  }
  const moved = part(name, 'after')
  expect(Object.keys(moved).length > 0).toBe(after ?? false)
  const now = module.stateDict()
  for (const [key, stored] of Object.entries(moved))
    near(
      `${key} after`,
      Array.from(now[key].data as Float32Array, Number),
      Array.from(stored.data as Float32Array, Number),
    )
  const before = tf.memory().numTensors
  const result = forward(module as never, ...inputs)
  // Results and nothing else, outside of any tidy.
  expect(tf.memory().numTensors).toBe(before + outputs.length)
  tf.dispose([grads, inputs, result] as never)
  module.dispose()
}

it('covers every case of the oracle', () => {
  const held = new Set(Object.keys(oracle).map(key => key.split('.')[0]))
  expect(new Set(Object.keys(cases))).toEqual(held)
})

onBackends(() => {
  describe('PyTorch’s state gives PyTorch’s outputs and gradients', () => {
    for (const [name, description] of Object.entries(cases)) it(name, () => run(name, description))
  })
})
