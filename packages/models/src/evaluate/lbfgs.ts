// A minimum of a smooth convex function, without chance: L-BFGS (Nocedal and Wright 2006, "Numerical optimization",
// algorithms 7.4 and 7.5) with steps halved until Armijo's condition holds (algorithm 3.1).

/** Value at x; the gradient is written to `gradient`. */
export type Objective = (x: Float64Array, gradient: Float64Array) => number

export interface Minimum {
  x: Float64Array
  value: number
  iterations: number
  /** Whether the largest component of the gradient came down to the tolerance. */
  converged: boolean
}

const memory = 10
const decrease = 1e-4

export function minimise(
  objective: Objective,
  start: Float64Array,
  { tolerance, maxIterations }: { tolerance: number; maxIterations: number },
): Minimum {
  let x = start
  let gradient = new Float64Array(x.length)
  let value = objective(x, gradient)
  const pairs: Pair[] = []
  let iterations = 0
  for (; iterations < maxIterations && largest(gradient) > tolerance; iterations++) {
    const direction = descent(gradient, pairs)
    const slope = product(gradient, direction)
    const nextGradient = new Float64Array(x.length)
    const next = new Float64Array(x.length)
    let step = pairs.length > 0 ? 1 : Math.min(1, 1 / Math.sqrt(-slope))
    let nextValue = Number.POSITIVE_INFINITY
    // Near the minimum the decrease is less than the rounding of the value.
    const rounding = 8 * Number.EPSILON * Math.abs(value)
    for (let tries = 0; tries < 60; tries++, step /= 2) {
      for (let i = 0; i < x.length; i++) next[i] = x[i] + step * direction[i]
      nextValue = objective(next, nextGradient)
      if (nextValue <= value + decrease * step * slope + rounding) break
    }
    if (!(nextValue <= value + rounding)) break
    remember(pairs, x, next, gradient, nextGradient)
    x = next
    gradient = nextGradient
    value = nextValue
  }
  return { x, value, iterations, converged: largest(gradient) <= tolerance }
}

interface Pair {
  s: Float64Array
  y: Float64Array
  sy: number
}

function remember(
  pairs: Pair[],
  x: Float64Array,
  next: Float64Array,
  gradient: Float64Array,
  nextGradient: Float64Array,
): void {
  const s = next.map((v, i) => v - x[i])
  const y = nextGradient.map((v, i) => v - gradient[i])
  const sy = product(s, y)
  if (!(sy > Number.EPSILON * product(y, y))) return
  pairs.push({ s, y, sy })
  if (pairs.length > memory) pairs.shift()
}

// −H·gradient by the two loops of algorithm 7.4.
function descent(gradient: Float64Array, pairs: readonly Pair[]): Float64Array {
  const q = gradient.map(v => -v)
  const along = new Float64Array(pairs.length)
  for (let p = pairs.length - 1; p >= 0; p--) {
    const { s, y, sy } = pairs[p]
    along[p] = product(s, q) / sy
    for (let i = 0; i < q.length; i++) q[i] -= along[p] * y[i]
  }
  const last = pairs.at(-1)
  if (last !== undefined) {
    const scale = last.sy / product(last.y, last.y)
    for (let i = 0; i < q.length; i++) q[i] *= scale
  }
  for (const [p, { s, y, sy }] of pairs.entries()) {
    const more = along[p] - product(y, q) / sy
    for (let i = 0; i < q.length; i++) q[i] += more * s[i]
  }
  return q
}

function product(a: Float64Array, b: Float64Array): number {
  let sum = 0
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i]
  return sum
}

function largest(a: Float64Array): number {
  let most = 0
  for (let i = 0; i < a.length; i++) most = Math.max(most, Math.abs(a[i]))
  return most
}
