import * as tf from '@tensorflow/tfjs-core'
import { expectShape } from '../check.js'
import { VqValueError } from '../errors.js'
import { expectFloat32 } from './float32.js'
import { hasKernel, runKernels } from './kernel.js'
import { composedLstm } from './lstm-composed.js'
import { taped } from './taped.js'

/** Weights of one direction; the four gates i, f, g, o stand side by side. */
export interface LstmWeights {
  /** [I, 4H] */
  kernel: tf.Tensor2D
  /** [H, 4H] */
  recurrentKernel: tf.Tensor2D
  /** [4H]; PyTorch's two biases added. */
  bias?: tf.Tensor1D | undefined
}

export interface LstmState {
  /** [directions, B, H] */
  h: tf.Tensor3D
  /** [directions, B, H] */
  c: tf.Tensor3D
}

export interface LstmOptions {
  /** Steps of each sequence, from 0 to T: what stands behind is padding, whose output is 0. Default: T for all. */
  lengths?: ArrayLike<number>
  /** Default zeros. */
  initialState?: LstmState
}

export interface LstmResult extends LstmState {
  /** [B, T, directions·H] */
  output: tf.Tensor3D
}

/**
 * A layer of long short-term memory. x: [B, T, I]. With one set of weights it runs forwards; with a pair, the second runs
 * from each sequence's end to its start and the outputs stand side by side. h and c are the states after each sequence's
 * last step. Per step, with σ the logistic function: i, f, o = σ(…), g = tanh(…) of x·kernel + h·recurrentKernel + bias;
 * c ← f·c + i·g; h ← o·tanh(c). Differentiable in x, weights and initial state.
 * Throws VqShapeError where sizes do not fit, VqValueError for a length that is no whole number from 0 to T.
 * Source: Hochreiter and Schmidhuber 1997, https://doi.org/10.1162/neco.1997.9.8.1735, with forget gates; the order of gates
 * and the meaning of lengths are PyTorch's.
 */
export function lstm(
  x: tf.Tensor3D,
  weights: LstmWeights | readonly [LstmWeights, LstmWeights],
  { lengths, initialState }: LstmOptions = {},
): LstmResult {
  const directions = (Array.isArray(weights) ? weights : [weights]) as LstmWeights[]
  check(x, directions, initialState)
  const steps = x.shape[1]
  const bad =
    lengths === undefined
      ? -1
      : Array.from(lengths).findIndex(n => !(Number.isInteger(n) && n >= 0 && n <= steps))
  if (lengths !== undefined && (bad >= 0 || lengths.length !== x.shape[0]))
    throw new VqValueError({
      operation: 'lstm',
      expected: `${x.shape[0]} whole lengths from 0 to ${steps}`,
      received: bad >= 0 ? `${lengths[bad]} at position ${bad}` : `${lengths.length} lengths`,
      remedy: 'Pass one length per sequence, none longer than x.',
    })
  const run = hasKernel('VqLstm') ? fused : composedLstm
  const results = tf.tidy(() => {
    const counts = lengths && tf.tensor1d(Array.from(lengths), 'int32')
    // Not tf.unstack: its gradient fails where there is one part.
    const { shape } = initialState?.h ?? x
    const part = (s: tf.Tensor3D | undefined, i: number): tf.Tensor2D | undefined =>
      s && tf.reshape(tf.slice(s, [i, 0, 0], [1, shape[1], shape[2]]), [shape[1], shape[2]])
    const all = directions.map((w, i) =>
      run(x, w, i === 1, counts, part(initialState?.h, i), part(initialState?.c, i)),
    )
    const [output, last, cell] = [0, 1, 2].map(k => all.map(r => r[k]))
    return [tf.concat(output, 2), tf.stack(last), tf.stack(cell)]
  })
  return { output: results[0] as tf.Tensor3D, h: results[1] as tf.Tensor3D, c: results[2] as tf.Tensor3D }
}

/** Output, last h and last c of one direction. */
export type LstmDirection = (
  x: tf.Tensor3D,
  weights: LstmWeights,
  reverse: boolean,
  lengths: tf.Tensor1D | undefined,
  h: tf.Tensor2D | undefined,
  c: tf.Tensor2D | undefined,
) => tf.Tensor[]

const fused: LstmDirection = (x, { kernel, recurrentKernel, bias }, reverse, lengths, h, c) => {
  const present = { x, kernel, recurrentKernel, ...(bias && { bias }), ...(h && c && { h, c }) }
  return taped(
    present,
    save => {
      const [y, hn, cn, gates, states, cells] = runKernels('VqLstm', { ...present, lengths }, { reverse })
      save([x, kernel, recurrentKernel, gates, states, cells, ...(lengths ? [lengths] : [])])
      return [y, hn, cn]
    },
    ([dy, dhn, dcn], [x, kernel, recurrentKernel, gates, states, cells, lengths]) => {
      const inputs = { x, kernel, recurrentKernel, gates, states, cells, lengths, dy, dhn, dcn }
      const [dh, dc, dx, dkernel, drecurrent, dbias] = runKernels('VqLstmGrad', inputs, {
        reverse,
        bias: bias !== undefined,
      })
      return {
        x: () => dx,
        kernel: () => dkernel,
        recurrentKernel: () => drecurrent,
        bias: () => dbias,
        h: () => dh,
        c: () => dc,
      }
    },
  )
}

function check(x: tf.Tensor3D, directions: LstmWeights[], initial: LstmState | undefined): void {
  const hidden = directions[0].recurrentKernel.shape[0]
  const state = [directions.length, x.shape[0], hidden]
  const fits = directions.every(
    ({ kernel, recurrentKernel, bias }) =>
      tf.util.arraysEqual(kernel.shape, [x.shape[2], 4 * hidden]) &&
      tf.util.arraysEqual(recurrentKernel.shape, [hidden, 4 * hidden]) &&
      (bias === undefined || tf.util.arraysEqual(bias.shape, [4 * hidden])),
  )
  const states = initial === undefined ? [] : [initial.h, initial.c]
  expectShape(
    x.rank === 3 && fits && states.every(s => tf.util.arraysEqual(s.shape, state)),
    'lstm',
    `x [B, T, I], kernels [I, 4H], recurrent kernels [H, 4H], biases [4H], states [${directions.length}, B, H]`,
    [
      `x [${x.shape}]`,
      ...directions.map(
        d => `weights [${d.kernel.shape}], [${d.recurrentKernel.shape}], [${d.bias?.shape ?? '–'}]`,
      ),
      ...states.map(s => `state [${s.shape}]`),
    ].join(', '),
    'A pair of weights makes two directions.',
  )
  expectFloat32('lstm', x, ...states)
  for (const d of directions) expectFloat32('lstm', d.kernel, d.recurrentKernel, d.bias)
}
