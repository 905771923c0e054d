import type { Call } from './call.js'
import { type Dtype, type Rng, sizeOf, type Values } from './rng.js'

/** Turns a valid call into one that no op of tfjs would make. */

// Nothing between a few million and what no machine holds: those would be right, and slow.
const odd: readonly unknown[] = [
  -1, -2, 0, 0.5, -7, 13, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 2 ** 42, -(2 ** 42), 2 ** 53, 1e300,
  null, undefined, 'x', '', true, [], [-1], [0, 0], [2 ** 42], [Number.NaN], [0.5, 1], [1, 2, 3, 4, 5, 6, 7], [null], {},
] // biome-ignore format: a list
const oddNumbers = odd.filter((v): v is number => typeof v === 'number')
const dtypes: readonly Dtype[] = ['float32', 'int32', 'bool', 'complex64', 'string']

type Inputs = Call['inputs']

function altered(r: Rng, inputs: Inputs, change: (v: Values) => Values | undefined): Inputs {
  const keys = Object.keys(inputs).filter(key => inputs[key] !== undefined)
  if (keys.length === 0) return inputs
  const key = r.pick(keys)
  const v = inputs[key] as Values | Values[]
  if (!Array.isArray(v)) return { ...inputs, [key]: change(v) }
  const at = r.int(0, v.length - 1)
  return { ...inputs, [key]: v.flatMap((x, i) => (i === at ? (change(x) ?? []) : [x])) }
}

/** The same inputs with other attributes: whole ones replaced, left out, or single numbers of lists. */
function otherAttributes(r: Rng, attrs: Record<string, unknown>): Record<string, unknown> {
  const keys = Object.keys(attrs)
  if (keys.length === 0) return attrs
  const key = r.pick(keys)
  const v = attrs[key]
  if (Array.isArray(v) && v.length > 0 && r.chance(0.6)) {
    const list = [...v]
    const at = r.int(0, list.length - 1)
    list[at] = Array.isArray(list[at]) ? [r.pick(odd), r.pick(odd)] : r.pick(r.chance(0.7) ? oddNumbers : odd)
    return { ...attrs, [key]: list }
  }
  return { ...attrs, [key]: r.pick(r.chance(0.7) ? oddNumbers : odd) }
}

const near = (r: Rng, shape: readonly number[]): number[] =>
  r.chance(0.5) ? r.shape() : shape.map(d => (r.chance(0.3) ? Math.max(0, d + r.int(-2, 2)) : d))

/** An input of another shape or dtype, of wild values, or none; another attribute. */
export function malformed(r: Rng, call: Call): Call {
  let { inputs, attrs = {} } = call
  for (let changes = r.int(1, 2); changes > 0; changes--) {
    const what = r.int(0, 9)
    if (what < 2) inputs = altered(r, inputs, v => r.tensor(near(r, v.shape), v.dtype))
    else if (what === 2) inputs = altered(r, inputs, v => r.tensor(v.shape, r.pick(dtypes), 0.1))
    else if (what === 3) inputs = altered(r, inputs, v => ({ ...v, ...r.tensor(v.shape, v.dtype, 0.5) }))
    else if (what === 4) inputs = altered(r, inputs, () => undefined)
    else if (what === 5)
      inputs = altered(r, inputs, v => ({ ...v, claims: { shape: near(r, v.shape), dtype: v.dtype } }))
    else if (what === 6)
      inputs = altered(r, inputs, v => ({ ...v, claims: { shape: v.shape, dtype: r.pick(dtypes) } }))
    else attrs = otherAttributes(r, attrs)
  }
  return { inputs, attrs }
}

/** Whether a result is as large as it says. */
export const isWhole = (shape: readonly number[], dtype: string, count: number): boolean =>
  count === sizeOf(shape) * (dtype === 'complex64' ? 2 : 1)

export const lies = ({ inputs }: Call): boolean =>
  Object.values(inputs)
    .flat()
    .some(v => v?.claims !== undefined)
