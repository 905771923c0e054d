import * as tf from '@tensorflow/tfjs-core'
import { expectNumber, expectOneOf, expectShape } from '../check.js'
import { VqValueError } from '../errors.js'
import { customGradient } from './custom-gradient.js'
import { expectFloat32, expectInt32 } from './float32.js'
import { hasKernel, runKernel, runKernels } from './kernel.js'

export interface CrossEntropyOptions {
  /** ε: the target is 1 − ε on the label plus ε/C on every class. From 0 to 1. Default 0. */
  labelSmoothing?: number
  /** Rows with this label count nowhere: loss and gradient 0. Default −1. */
  ignoreIndex?: number
  /** 'mean' is over the rows that count, and NaN where none does. Default 'mean'. */
  reduction?: 'mean' | 'sum' | 'none'
}

/**
 * Cross-entropy of softmax(logits) against whole-number labels, as PyTorch's F.cross_entropy.
 * logits: [..., C] float32; labels: [...] int32 in [0, C) or ignoreIndex. A scalar comes back, or [...] with reduction
 * 'none'. Differentiable in the logits. Throws VqValueError naming the first label that is out of range.
 * Source of the smoothing: Szegedy et al. 2016, https://arxiv.org/abs/1512.00567, section 7.
 *
 * @example
 * softmaxCrossEntropy(tf.tensor2d([[0, 0], [9, 0]]), tf.tensor1d([1, -1], 'int32'))   // log 2: the second row is ignored
 */
export function softmaxCrossEntropy(
  logits: tf.Tensor,
  labels: tf.Tensor,
  { labelSmoothing = 0, ignoreIndex = -1, reduction = 'mean' }: CrossEntropyOptions = {},
): tf.Tensor {
  const operation = 'softmaxCrossEntropy'
  expectShape(
    logits.rank >= 1 && tf.util.arraysEqual(logits.shape.slice(0, -1), labels.shape),
    operation,
    'logits [..., C] and labels [...]',
    `logits [${logits.shape}], labels [${labels.shape}]`,
    'Classes are the last axis of the logits; labels have one axis less.',
  )
  expectFloat32(operation, logits)
  expectInt32(operation, 'labels', labels)
  expectNumber(operation, 'labelSmoothing', labelSmoothing, 0, 1)
  expectOneOf(operation, 'reduction', reduction, ['mean', 'sum', 'none'])
  const attrs = { labelSmoothing, ignoreIndex, reduction }
  if (!hasKernel('VqCrossEntropy')) return composed(logits, labels, attrs)
  return customGradient<tf.Tensor>(
    [logits],
    save => {
      const [loss, lse] = runKernels('VqCrossEntropy', { logits, labels }, attrs)
      save([logits, labels, lse])
      return loss
    },
    (dy, [logits, labels, lse]) => [runKernel('VqCrossEntropyGrad', { logits, labels, lse, dy }, attrs)],
  )
}

/** The error of a label that is no class. */
export function badLabel(label: number, position: number, classes: number): VqValueError {
  return new VqValueError({
    operation: 'softmaxCrossEntropy',
    expected: `labels from 0 to ${classes - 1} or ignoreIndex`,
    received: `${label} at position ${position}`,
    remedy: 'Give rows without a class the ignoreIndex.',
  })
}

function composed(logits: tf.Tensor, labels: tf.Tensor, options: Required<CrossEntropyOptions>): tf.Tensor {
  const { labelSmoothing, ignoreIndex, reduction } = options
  const classes = logits.shape[logits.rank - 1]
  const values = labels.dataSync() as Int32Array
  const bad = values.findIndex(v => v !== ignoreIndex && (v < 0 || v >= classes))
  if (bad >= 0) throw badLabel(values[bad], bad, classes)
  const counted = values.reduce((n, v) => n + Number(v !== ignoreIndex), 0)
  return tf.tidy(() => {
    const rows = tf.reshape(logits, [labels.size, classes])
    const counts = tf.reshape(tf.notEqual(labels, ignoreIndex), [labels.size])
    const chosen = tf.equal(tf.reshape(labels, [labels.size, 1]), tf.range(0, classes, 1, 'int32'))
    const top = tf.max(rows, -1, true)
    const lse = tf.add(tf.log(tf.sum(tf.exp(tf.sub(rows, top)), -1)), tf.squeeze(top, [-1]))
    // Chosen, not multiplied: other logits may be −∞.
    const own = tf.sub(lse, tf.sum(tf.where(chosen, rows, tf.zerosLike(rows)), -1))
    const smooth = (): tf.Tensor => tf.mul(tf.sub(lse, tf.mean(rows, -1)), labelSmoothing)
    const each = labelSmoothing === 0 ? own : tf.add(tf.mul(own, 1 - labelSmoothing), smooth())
    const loss = tf.where(counts, each, tf.zerosLike(each))
    if (reduction === 'none') return tf.reshape(loss, labels.shape)
    if (reduction === 'sum') return tf.sum(loss)
    // Of no rows the mean is NaN, its gradient 0.
    return counted === 0 ? tf.add(tf.sum(loss), Number.NaN) : tf.div(tf.sum(loss), counted)
  })
}
