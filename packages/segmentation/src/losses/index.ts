// Losses of logits [B, H, W, C] against labels int32 [B, H, W]; pixels with the label −1 count in none of them.
import {
  describe,
  expectNumber,
  expectOneOf,
  expectShape,
  noGrad,
  softmaxCrossEntropy,
  tf,
  VqValueError,
} from '@vq/core'

export const lossTypes = ['ce', 'dice', 'focal', 'combined'] as const
export type LossType = (typeof lossTypes)[number]

export interface LossOptions {
  /** γ of the focal loss. Default 2. */
  focalGamma?: number
  /** What is added above and below in the Dice coefficient. Default 1. */
  diceSmooth?: number
  /** Weights of cross-entropy, Dice and focal loss in 'combined'. Default 1, 1, 0.5. */
  weights?: { ce?: number; dice?: number; focal?: number }
}

/** Mean cross-entropy over the pixels that count; 0 where none does. */
export function crossEntropyLoss(logits: tf.Tensor4D, labels: tf.Tensor3D): tf.Scalar {
  expectLabels('crossEntropyLoss', logits, labels)
  return tf.tidy(() => overCounted(softmaxCrossEntropy(logits, labels, { reduction: 'none' }), labels))
}

// Where no pixel counts and nothing is added, the coefficient is 0 / 0; with this it is 1.
const leastSmooth = 1e-12

/**
 * 1 − the mean over classes of (2·Σ p·t + s) / (Σ p + Σ t + s), with the probabilities p, the truth t, and sums over all pixels
 * of the batch that count. Source: Milletari et al. 2016, https://arxiv.org/abs/1606.04797, section 3, with plain sums.
 */
export function diceLoss(logits: tf.Tensor4D, labels: tf.Tensor3D, options: LossOptions = {}): tf.Scalar {
  const { diceSmooth = 1 } = options
  expectNumber('diceLoss', 'diceSmooth', diceSmooth, 0, 1e6)
  expectLabels('diceLoss', logits, labels)
  const classes = logits.shape[3]
  expectClasses('diceLoss', labels, classes)
  const smooth = Math.max(diceSmooth, leastSmooth)
  return tf.tidy(() => {
    const { counted, truth } = noGrad(() => {
      const counted = tf.cast(tf.greaterEqual(labels, 0), 'float32')
      const hot = tf.oneHot(tf.maximum(labels, tf.scalar(0, 'int32')) as tf.Tensor3D, classes)
      const mask = tf.expandDims(counted, 3)
      return { counted: mask, truth: tf.mul(tf.cast(hot, 'float32'), mask) }
    })
    const chances = tf.mul(tf.softmax(logits), counted)
    const both = tf.sum(tf.mul(chances, truth), [0, 1, 2]) // [C]
    const all = tf.add(tf.sum(chances, [0, 1, 2]), tf.sum(truth, [0, 1, 2]))
    const overlap = tf.div(tf.add(tf.mul(both, 2), smooth), tf.add(all, smooth))
    return tf.sub(1, tf.mean(overlap)) as tf.Scalar
  })
}

// Below the distance of 1 to the next float32.
const leastMissed = 1e-8

/**
 * The mean over the pixels that count of (1 − p)^γ·(−log p), p the probability of the true class; 0 where none does.
 * Source: Lin et al. 2017, https://arxiv.org/abs/1708.02002, equation 4.
 */
export function focalLoss(logits: tf.Tensor4D, labels: tf.Tensor3D, options: LossOptions = {}): tf.Scalar {
  const { focalGamma = 2 } = options
  expectNumber('focalLoss', 'focalGamma', focalGamma, 0, 100)
  expectLabels('focalLoss', logits, labels)
  return tf.tidy(() => {
    const own = softmaxCrossEntropy(logits, labels, { reduction: 'none' })
    // Rounding may take 1 − p to 0 and below, where its powers below 1 have no finite gradient.
    const missed = tf.maximum(tf.sub(1, tf.exp(tf.neg(own))), leastMissed)
    return overCounted(tf.mul(tf.pow(missed, focalGamma), own), labels)
  })
}

/** The loss of that name; of 'combined' also its parts. Throws VqShapeError, VqValueError for labels that are no class. */
export function segmentationLoss(
  type: LossType,
  logits: tf.Tensor4D,
  labels: tf.Tensor3D,
  options: LossOptions = {},
): { loss: tf.Scalar; parts: Record<string, tf.Scalar> } {
  expectOneOf('segmentationLoss', 'loss type', type, lossTypes)
  if (type === 'ce') return { loss: crossEntropyLoss(logits, labels), parts: {} }
  if (type === 'dice') return { loss: diceLoss(logits, labels, options), parts: {} }
  if (type === 'focal') return { loss: focalLoss(logits, labels, options), parts: {} }
  const { ce = 1, dice = 1, focal = 0.5 } = options.weights ?? {}
  for (const [name, weight] of Object.entries({ ce, dice, focal }))
    expectNumber('segmentationLoss', `the weight of ${name}`, weight, 0, 1e6)
  const parts = {
    ce: crossEntropyLoss(logits, labels),
    dice: diceLoss(logits, labels, options),
    focal: focalLoss(logits, labels, options),
  }
  const loss = tf.tidy(
    () => tf.addN([tf.mul(parts.ce, ce), tf.mul(parts.dice, dice), tf.mul(parts.focal, focal)]) as tf.Scalar,
  )
  return { loss, parts }
}

function overCounted(each: tf.Tensor, labels: tf.Tensor): tf.Scalar {
  const count = noGrad(() => tf.maximum(tf.sum(tf.cast(tf.greaterEqual(labels, 0), 'float32')), 1))
  return tf.div(tf.sum(each), count) as tf.Scalar
}

function expectLabels(operation: string, logits: tf.Tensor, labels: tf.Tensor): void {
  const shown = (x: unknown): string =>
    x instanceof tf.Tensor ? `[${x.shape.join(', ')}] of ${x.dtype}` : describe(x)
  expectShape(
    logits instanceof tf.Tensor &&
      labels instanceof tf.Tensor &&
      logits.rank === 4 &&
      logits.shape[3]! > 1 &&
      labels.dtype === 'int32' &&
      tf.util.arraysEqual(logits.shape.slice(0, 3), labels.shape),
    operation,
    'logits [B, H, W, C] of at least two classes and int32 labels [B, H, W]',
    `logits ${shown(logits)}, labels ${shown(labels)}`,
    'Classes are the last axis of the logits; labels have one axis less.',
  )
}

// As the cross-entropy refuses them: a one-hot vector would silently leave them out.
function expectClasses(operation: string, labels: tf.Tensor, classes: number): void {
  const range = tf.tidy(() => noGrad(() => tf.stack([tf.min(labels), tf.max(labels)])))
  const [least, most] = range.dataSync<'int32'>() as unknown as [number, number]
  range.dispose()
  if (least >= -1 && most < classes) return
  throw new VqValueError({
    operation,
    expected: `labels from 0 to ${classes - 1}, or −1 for pixels that do not count`,
    received: `${least < -1 ? least : most}`,
    remedy: 'Pass masks of the classes that the network has.',
  })
}
