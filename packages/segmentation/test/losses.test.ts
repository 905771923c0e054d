import { join } from 'node:path'
import { tf, VqConfigError, VqShapeError, VqValueError } from '@vq/core'
import { loadSafetensors, toTensor } from '@vq/core/io'
import { valueAndGradients } from '@vq/core/optim'
import {
  Confusion,
  crossEntropyLoss,
  diceLoss,
  focalLoss,
  lossTypes,
  segmentationLoss,
} from '@vq/segmentation'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

const file = join(import.meta.dirname, '../../../test/oracle/segmentation.safetensors')
const { tensors } = await loadSafetensors(file)
const value = (x: tf.Tensor): number => x.dataSync()[0]!
const stored = <T extends tf.Tensor>(name: string): T => toTensor(tensors[name]!) as unknown as T

describe('losses', () => {
  test.each(lossTypes)('%s and its gradient equal those of PyTorch to 1e-5', type => {
    expect(tf.getBackend()).toBe('vq-cpu')
    const logits = tf.variable(stored<tf.Tensor4D>('logits'))
    const labels = stored<tf.Tensor3D>('labels')
    const { value: loss, gradients } = valueAndGradients(
      () => segmentationLoss(type, logits as tf.Tensor4D, labels).loss,
      [logits],
    )
    expect(Math.abs(value(loss) - value(stored(`loss.${type}`)))).toBeLessThan(1e-5)
    const apart = tf.max(tf.abs(tf.sub(gradients[0]!, stored(`gradient.${type}`))))
    expect(value(apart)).toBeLessThan(1e-5)
  })

  test("the focal loss of two classes is torchvision's of the difference of the logits", () => {
    const loss = focalLoss(stored('two.logits'), stored('two.labels'))
    expect(Math.abs(value(loss) - value(stored('two.focal')))).toBeLessThan(1e-5)
  })

  test('with equal logits are log C, (1 − 1/C)²·log C, and 1 − (2n/C + 1)/(2n/C + n/C·… + 1) by hand', () => {
    const logits = tf.zeros([1, 2, 2, 2]) as tf.Tensor4D
    const labels = tf.tensor3d([0, 0, 0, 1], [1, 2, 2], 'int32')
    expect(value(crossEntropyLoss(logits, labels))).toBeCloseTo(Math.log(2), 6)
    expect(value(focalLoss(logits, labels))).toBeCloseTo(Math.log(2) / 4, 6)
    // Σp = 2 of each class; Σt = 3 and 1; Σpt = 1.5 and 0.5.
    expect(value(diceLoss(logits, labels))).toBeCloseTo(1 - (4 / 6 + 2 / 4) / 2, 6)
    expect(value(diceLoss(logits, labels, { diceSmooth: 0 }))).toBeCloseTo(1 - (3 / 5 + 1 / 3) / 2, 6)
    const { loss } = segmentationLoss('combined', logits, labels, { weights: { ce: 2, dice: 0, focal: 4 } })
    expect(value(loss)).toBeCloseTo(3 * Math.log(2), 5)
  })

  test('pixels that do not count change nothing, and where none counts all losses are finite and without gradient', () => {
    const logits = stored<tf.Tensor4D>('logits')
    const none = tf.fill([2, 6, 5], -1, 'int32') as tf.Tensor3D
    for (const type of lossTypes) {
      const variable = tf.variable(logits)
      const { value: loss, gradients } = valueAndGradients(
        () => segmentationLoss(type, variable as tf.Tensor4D, none).loss,
        [variable],
      )
      expect([type, value(loss)]).toEqual([type, 0])
      expect(value(tf.max(tf.abs(gradients[0]!)))).toBe(0)
    }
    const labels = stored<tf.Tensor3D>('labels')
    const outside = tf.equal(labels, -1)
    const other = tf.where(tf.expandDims(outside, 3), tf.fill(logits.shape, 7), logits) as tf.Tensor4D
    for (const type of lossTypes)
      expect(value(segmentationLoss(type, other, labels).loss)).toBeCloseTo(
        value(segmentationLoss(type, logits, labels).loss),
        6,
      )
  })

  test.each([0, 0.5, 1, 2])(
    'the focal loss with γ = %d has a finite gradient where a pixel is surely right',
    focalGamma => {
      // 100 ahead is a probability of 1 in float32; the other pixel is surely wrong: its gradient is that of −log p.
      const logits = tf.variable(tf.tensor4d([100, 0, 0, 100], [1, 1, 2, 2]))
      const labels = tf.tensor3d([0, 0], [1, 1, 2], 'int32')
      const { value: loss, gradients } = valueAndGradients(
        () => focalLoss(logits as tf.Tensor4D, labels, { focalGamma }),
        [logits],
      )
      expect(value(loss)).toBeCloseTo(50, 4)
      const gradient = [...gradients[0]!.dataSync()].map(v => Math.round(v * 1e5) / 1e5 + 0)
      expect(gradient).toEqual([0, 0, -0.5, 0.5])
    },
  )

  test('the Dice loss of no pixel that counts is 0 without smoothing too', () => {
    const logits = tf.variable(tf.ones([1, 2, 2, 3]))
    const none = tf.fill([1, 2, 2], -1, 'int32') as tf.Tensor3D
    const { value: loss, gradients } = valueAndGradients(
      () => diceLoss(logits as tf.Tensor4D, none, { diceSmooth: 0 }),
      [logits],
    )
    expect([value(loss), value(tf.max(tf.abs(gradients[0]!)))]).toEqual([0, 0])
  })

  test('refuse what does not fit', () => {
    const logits = tf.zeros([1, 2, 2, 2]) as tf.Tensor4D
    const labels = tf.tensor3d([0, 0, 0, 2], [1, 2, 2], 'int32')
    for (const type of lossTypes) {
      expect(() => segmentationLoss(type, logits, labels), type).toThrow(VqValueError)
      const wrong: [unknown, unknown][] = [
        [undefined, labels],
        [logits, [[[0, 1]]]],
        [logits, tf.cast(labels, 'float32')],
        [tf.zeros([1, 2, 2, 1]), tf.zeros([1, 2, 2], 'int32')],
      ]
      for (const [x, y] of wrong)
        expect(() => segmentationLoss(type, x as tf.Tensor4D, y as tf.Tensor3D), type).toThrow(VqShapeError)
    }
    const below = tf.tensor3d([0, 0, 0, -2], [1, 2, 2], 'int32')
    expect(() => diceLoss(logits, below)).toThrow(/received -2/)
    expect(() => crossEntropyLoss(logits, labels)).toThrow(VqValueError)
    expect(() => diceLoss(logits, tf.zeros([1, 2, 3], 'int32') as tf.Tensor3D)).toThrow(VqShapeError)
    expect(() => segmentationLoss('huber' as 'ce', logits, labels)).toThrow(VqConfigError)
    expect(() => focalLoss(logits, labels, { focalGamma: -1 })).toThrow(VqConfigError)
  })
})

describe('scores', () => {
  test('are those of a table by hand', () => {
    const { iou, dice, meanIou, accuracy, pixels } = new Confusion(4)
      .add([0, 0, 0, 1, 1, -1, 2], [0, 0, 1, 1, 0, 2, 2])
      .add([1], [1]).scores
    expect(iou).toEqual([2 / 4, 2 / 4, 1, Number.NaN])
    expect(dice).toEqual([4 / 6, 4 / 6, 1, Number.NaN])
    expect([meanIou, accuracy, pixels]).toEqual([2 / 3, 5 / 7, 7])
  })

  test('Dice is 2·IoU / (1 + IoU), scores stay in 0..1, and truth against itself is 1', () => {
    const map = fc.array(fc.tuple(fc.integer({ min: -1, max: 3 }), fc.integer({ min: 0, max: 3 })), {
      minLength: 1,
      maxLength: 50,
    })
    fc.assert(
      fc.property(map, pairs => {
        const truth = pairs.map(([t]) => t)
        const { iou, dice } = new Confusion(4).add(
          truth,
          pairs.map(([, p]) => p),
        ).scores
        for (const [c, value] of iou.entries()) {
          if (Number.isNaN(value)) continue
          expect(value).toBeGreaterThanOrEqual(0)
          expect(value).toBeLessThanOrEqual(1)
          expect(dice[c]).toBeCloseTo((2 * value) / (1 + value), 12)
        }
        const self = new Confusion(4).add(
          truth,
          truth.map(t => Math.max(0, t)),
        ).scores
        expect(self.iou.filter(v => !Number.isNaN(v)).every(v => v === 1)).toBe(true)
      }),
    )
  })

  test('refuse classes that there are not, and maps of different sizes', () => {
    expect(() => new Confusion(2).add([0, 2], [0, 0])).toThrow(VqValueError)
    expect(() => new Confusion(2).add([0], [0, 0])).toThrow(VqShapeError)
    expect(() => new Confusion(0)).toThrow(VqConfigError)
  })
})
