import * as tf from '@tensorflow/tfjs-core'

interface Subscripts {
  terms: string[]
  out: string
}

function parse(equation: string): Subscripts {
  const [terms, out] = equation.replace(/\s/g, '').split('->')
  return { terms: terms.split(','), out }
}

/** The gradient of term i: the equation with that term and the result exchanged. */
function termGradient(i: number, dy: tf.Tensor, inputs: tf.Tensor[], { terms, out }: Subscripts): tf.Tensor {
  const own = terms[i]
  const others = terms.filter((_, j) => j !== i)
  const known = new Set([out, ...others].join(''))
  // Axes that stood in this term alone were summed away: every element along them has the same gradient.
  const kept = [...own].filter(axis => known.has(axis)).join('')
  const needed = new Set(out + kept)
  const rest = inputs
    .filter((_, j) => j !== i)
    .map((x, j) =>
      tf.sum(
        x,
        [...others[j]].flatMap((axis, d) => (needed.has(axis) ? [] : [d])),
      ),
    )
  const names = others.map(term => [...term].filter(axis => needed.has(axis)).join(''))
  // tfjs's plain backend hands out the tensor itself where nothing moves, and its gradient then counts twice.
  const same = rest.length === 0 && out === kept
  const dense = same ? dy : tf.einsum(`${[out, ...names].join(',')}->${kept}`, dy, ...rest)
  const { shape } = inputs[i]
  if (kept.length === own.length) return dense
  const open = [...own].map((axis, d) => (known.has(axis) ? shape[d] : 1))
  return tf.broadcastTo(tf.reshape(dense, open), shape)
}

/** Registers the gradient of einsum. */
export function registerEinsumGradient(): void {
  tf.registerGradient({
    kernelName: 'Einsum',
    saveAllInputs: true,
    gradFunc: (dy, saved, attrs) => {
      const subscripts = parse(attrs.equation as string)
      return Object.fromEntries(
        saved.map((_, i) => [i, () => termGradient(i, dy as tf.Tensor, saved, subscripts)]),
      )
    },
  })
}
