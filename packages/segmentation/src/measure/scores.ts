import { expectInteger, expectShape, VqValueError } from '@vq/core'

export interface Scores {
  /** Intersection over union of each class, NaN of a class that neither truth nor prediction has. */
  iou: number[]
  /** 2·intersection / (truth + prediction) of each class, likewise. */
  dice: number[]
  /** Mean over the classes that there are. */
  meanIou: number
  /** Share of the pixels that count whose class is right. */
  accuracy: number
  /** Pixels that count. */
  pixels: number
}

/** How often each class was taken for each, over any number of images. Pixels with the truth −1 do not count. */
export class Confusion {
  readonly classes: number
  /** [truth, prediction], row by row. */
  readonly counts: Float64Array

  constructor(classes: number) {
    expectInteger('Confusion', 'classes', classes, 1)
    this.classes = classes
    this.counts = new Float64Array(classes * classes)
  }

  /** truth and prediction: class of every pixel. Throws VqShapeError, VqValueError for what is no class. */
  add(truth: ArrayLike<number>, prediction: ArrayLike<number>): this {
    const { classes, counts } = this
    expectShape(
      truth.length === prediction.length,
      'Confusion.add',
      `${truth.length} predictions`,
      `${prediction.length}`,
      'Pass the class of every pixel.',
    )
    for (let i = 0; i < truth.length; i++) {
      const [t, p] = [truth[i]!, prediction[i]!]
      if (t === -1) continue
      if (!(t >= 0 && t < classes && p >= 0 && p < classes)) throw notAClass(t, p, classes)
      counts[t * classes + p]!++
    }
    return this
  }

  get scores(): Scores {
    const { classes, counts } = this
    const each = Array.from({ length: classes }, (_, c) => {
      let [truth, predicted] = [0, 0]
      for (let other = 0; other < classes; other++) {
        truth += counts[c * classes + other]!
        predicted += counts[other * classes + c]!
      }
      return { hit: counts[c * classes + c]!, truth, predicted }
    })
    const iou = each.map(({ hit, truth, predicted }) => hit / (truth + predicted - hit))
    const there = iou.filter(v => !Number.isNaN(v))
    const pixels = each.reduce((sum, { truth }) => sum + truth, 0)
    return {
      iou,
      dice: each.map(({ hit, truth, predicted }) => (2 * hit) / (truth + predicted)),
      meanIou: there.reduce((a, b) => a + b, 0) / there.length,
      accuracy: each.reduce((sum, { hit }) => sum + hit, 0) / pixels,
      pixels,
    }
  }
}

function notAClass(truth: number, predicted: number, classes: number): VqValueError {
  return new VqValueError({
    operation: 'Confusion.add',
    expected: `classes from 0 to ${classes - 1}, or −1 in the truth`,
    received: `truth ${truth}, prediction ${predicted}`,
    remedy: 'Pass masks and predictions of the same classes.',
  })
}
