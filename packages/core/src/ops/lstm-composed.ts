import * as tf from '@tensorflow/tfjs-core'
import type { LstmDirection } from './lstm.js'

/** One direction of an LSTM, step by step with tfjs's ops. */
export const composedLstm: LstmDirection = (
  x,
  { kernel, recurrentKernel, bias },
  reverse,
  lengths,
  h0,
  c0,
) => {
  const [batch, steps, inputs] = x.shape
  const hidden = recurrentKernel.shape[0]
  let h: tf.Tensor2D = h0 ?? tf.zeros([batch, hidden])
  let c: tf.Tensor2D = c0 ?? tf.zeros([batch, hidden])
  if (steps === 0) {
    // Nothing depends on the weights, but their gradients are zeros rather than missing.
    const weights = [x, kernel, recurrentKernel, ...(bias ? [bias] : [])].map(t => tf.sum(t))
    h = tf.add(h, tf.mul(tf.addN(weights), 0))
  }
  const outputs = new Array<tf.Tensor>(steps)
  for (let step = 0; step < steps; step++) {
    const t = reverse ? steps - 1 - step : step
    const active =
      lengths && (tf.tile(tf.reshape(tf.greater(lengths, t), [batch, 1]), [1, hidden]) as tf.Tensor2D)
    let now = tf.reshape(tf.slice(x, [0, t, 0], [batch, 1, inputs]), [batch, inputs]) as tf.Tensor2D
    // Padding of any value changes nothing, NaN included.
    if (lengths)
      now = tf.where(
        tf.tile(tf.reshape(tf.greater(lengths, t), [batch, 1]), [1, inputs]),
        now,
        tf.zerosLike(now),
      )
    let z: tf.Tensor = tf.add(tf.matMul(now, kernel), tf.matMul(h, recurrentKernel))
    if (bias !== undefined) z = tf.add(z, bias)
    const gate = (k: number): tf.Tensor2D => tf.slice(z, [0, k * hidden], [batch, hidden]) as tf.Tensor2D
    const kept = tf.mul(tf.sigmoid(gate(1)), c)
    const nextC = tf.add(kept, tf.mul(tf.sigmoid(gate(0)), tf.tanh(gate(2)))) as tf.Tensor2D
    const nextH = tf.mul(tf.sigmoid(gate(3)), tf.tanh(nextC)) as tf.Tensor2D
    outputs[t] = active ? tf.where(active, nextH, tf.zerosLike(nextH)) : nextH
    h = active ? tf.where(active, nextH, h) : nextH
    c = active ? tf.where(active, nextC, c) : nextC
  }
  return [steps === 0 ? tf.zeros([batch, 0, hidden]) : tf.stack(outputs, 1), h, c]
}
