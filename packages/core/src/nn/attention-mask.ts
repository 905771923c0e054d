import * as tf from '@tensorflow/tfjs-core'
import { expectShape } from '../check.js'

/** One mask of scores [B, H, Tq, Tk] out of two, both optional. Call it in a tidy. */
export function attentionMask(
  operation: string,
  scores: readonly number[],
  keyMask: tf.Tensor | undefined,
  mask: tf.Tensor | undefined,
): tf.Tensor | undefined {
  const [batch, , , keys] = scores
  if (keyMask !== undefined)
    expectShape(
      keyMask.rank === 2 && keyMask.shape[0] === batch && keyMask.shape[1] === keys && isTruth(keyMask),
      operation,
      `a keyMask [${batch}, ${keys}] of bool or int32`,
      `[${keyMask.shape}] of ${keyMask.dtype}`,
      '1 marks what may be seen, 0 padding.',
    )
  if (mask !== undefined) {
    const aligned = [...new Array<number>(Math.max(0, 4 - mask.rank)).fill(1), ...mask.shape]
    expectShape(
      aligned.length === 4 && aligned.every((n, i) => n === 1 || n === scores[i]) && mask.dtype !== 'string',
      operation,
      `a mask broadcastable to [${scores}]`,
      `[${mask.shape}] of ${mask.dtype}`,
      '[Tq, Tk] serves all heads of all samples.',
    )
    mask = tf.reshape(mask, aligned)
  }
  const padding = keyMask && tf.reshape(truth(keyMask), [batch, 1, 1, keys])
  if (padding === undefined || mask === undefined) return padding ?? mask
  if (isTruth(mask)) return tf.logicalAnd(truth(mask), padding)
  return tf.where(padding, mask, tf.scalar(Number.NEGATIVE_INFINITY))
}

function isTruth(mask: tf.Tensor): boolean {
  return mask.dtype === 'bool' || mask.dtype === 'int32'
}

function truth(mask: tf.Tensor): tf.Tensor {
  return mask.dtype === 'bool' ? mask : tf.notEqual(mask, 0)
}
