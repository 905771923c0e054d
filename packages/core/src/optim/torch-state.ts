import { VqFormatError } from '../errors.js'
import type { StateDict, StoredTensor } from '../io/stored-tensor.js'

type Tree = Record<string, unknown>

/**
 * The state of one of PyTorch's optimizers, `{ state: { 0: { step, exp_avg, … }, … }, param_groups: [{ params: [0, …] }] }`,
 * by the names of our parameters: position i of the groups' params is parameter i. A parameter that has no state there
 * has not been moved yet: zeros.
 */
export function fromTorchState(
  operation: string,
  value: unknown,
  names: readonly string[],
  shapes: readonly (readonly number[])[],
  states: readonly string[],
): StateDict {
  const refuse = (expected: string, received: string): never => {
    const remedy = 'Pass the state_dict() of an optimizer over the same parameters in the same order.'
    throw new VqFormatError({ operation, expected, received, remedy })
  }
  const groups = entry(value, 'param_groups')
  const state = entry(value, 'state')
  if (!Array.isArray(groups) || state === undefined)
    return refuse("entries 'state' and 'param_groups'", typeof value)
  const order = groups.flatMap(group => entry(group, 'params') ?? []) as unknown[]
  if (order.length !== names.length) refuse(`${names.length} parameters`, `${order.length}`)
  const dict: StateDict = Object.create(null)
  let most = 0
  for (const [i, name] of names.entries()) {
    const own = entry(state, String(order[i]))
    const count = own === undefined ? 0 : numberOf(entry(own, 'step') ?? 1)
    most = Math.max(most, count)
    dict[`step.${name}`] = { dtype: 'F32', shape: [], data: Float32Array.of(count) }
    for (const key of states) {
      const stored = own === undefined ? undefined : entry(own, key)
      // SGD without momentum keeps None.
      dict[`${key}.${name}`] = isTensor(stored) ? stored : zeros(shapes[i])
    }
  }
  dict.step = { dtype: 'I64', shape: [], data: BigInt64Array.of(BigInt(most)) }
  return dict
}

// A dictionary comes as an object, or as a Map where its keys are numbers.
function entry(tree: unknown, key: string): unknown {
  if (tree instanceof Map) return tree.get(key) ?? tree.get(Number(key))
  return typeof tree === 'object' && tree !== null ? (tree as Tree)[key] : undefined
}

function isTensor(value: unknown): value is StoredTensor {
  return typeof value === 'object' && value !== null && 'dtype' in value && 'data' in value
}

function numberOf(value: unknown): number {
  return Number(isTensor(value) ? value.data[0] : value)
}

function zeros(shape: readonly number[]): StoredTensor {
  const data = new Float32Array(shape.reduce((a, b) => a * b, 1))
  return { dtype: 'F32', shape: [...shape], data }
}
