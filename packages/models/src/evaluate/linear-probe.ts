import { expectInteger, expectNumber, expectShape, VqMemoryError } from '@vq/core'
import {
  expectSameKind,
  expectSameLength,
  type Labelled,
  type LabelledCodes,
  type LabelledFeatures,
  labelsOf,
} from './labelled.js'
import { minimise, type Objective } from './lbfgs.js'
import { type Design, denseDesign, oneHotDesign } from './probe-design.js'

const operation = 'linearProbe'
/** Weights, of which the search keeps about 25 copies: 0.8 GB. */
const mostWeights = 4_000_000
/** Rows · classes, which each evaluation holds once: 1 GB. */
const mostLogits = 2 ** 27

export interface LinearProbeOptions {
  /** λ of Σ cross-entropy + λ/2·‖W‖², over 0; 1/C of scikit-learn's LogisticRegression. Biases are free. Default 1. */
  penalty?: number
  /** Ends when no component of the gradient of the mean loss is larger. Default 1e-6. */
  tolerance?: number
  /** Default 1000. */
  maxIterations?: number
}

export interface LinearProbe {
  /** Share of test rows whose most probable class is their label, 0 to 1. A label that training lacks is never right. */
  accuracy: number
  trainAccuracy: number
  /** Mean cross-entropy of the training rows in nats, without the penalty. */
  trainLoss: number
  /** The labels of the training rows, ascending, [C]. */
  classes: Int32Array
  /** [dim, C], with dim = Σ K for codes. */
  weights: Float64Array
  /** [C] */
  bias: Float64Array
  iterations: number
  /** False where maxIterations came first: scale the features, or allow more. */
  converged: boolean
}

/**
 * How well a linear classifier reads labels off features, or off codes as one-hot vectors, one per level (−1 as zeros):
 * multinomial logistic regression on the training rows, judged on the test rows. Its loss has one minimum, which L-BFGS in
 * float64 finds from zero, so the result depends on nothing but the data. Ties go to the lower label. Features are taken as
 * they are; bring them to similar scales first. For embedded codes pass the quantized vectors as features.
 *
 * Source: Alain and Bengio 2016, "Understanding intermediate layers using linear classifier probes", arXiv 1610.01644;
 * Bishop 2006, "Pattern recognition and machine learning", equations 4.104 to 4.109.
 *
 * Throws VqConfigError, VqShapeError for lengths that do not fit and for a single class, VqValueError for numbers that are
 * not finite and codes that the codebook does not have, VqMemoryError for over 4 million weights.
 *
 * @example
 * linearProbe({ codes, levels: 16, labels }, { codes: testCodes, levels: 16, labels: testLabels }, { codebookSize: 512 })
 * // { accuracy: 0.93, … }
 */
export function linearProbe(
  train: LabelledCodes,
  test: LabelledCodes,
  options: LinearProbeOptions & { codebookSize: number | readonly number[] },
): LinearProbe
export function linearProbe(
  train: LabelledFeatures,
  test: LabelledFeatures,
  options?: LinearProbeOptions,
): LinearProbe
export function linearProbe(
  train: Labelled,
  test: Labelled,
  options: LinearProbeOptions & { codebookSize?: number | readonly number[] } = {},
): LinearProbe {
  const { penalty = 1, tolerance = 1e-6, maxIterations = 1000, codebookSize } = options
  expectNumber(operation, 'penalty', penalty, Number.MIN_VALUE, Number.MAX_VALUE)
  expectNumber(operation, 'tolerance', tolerance, 0, 1)
  expectInteger(operation, 'maxIterations', maxIterations, 1)
  expectSameKind(operation, train, test)
  const [x, held] = [train, test].map((of, i) => designOf(i === 0 ? 'train' : 'test', of, codebookSize))
  expectSameLength(operation, x.rowLength, held.rowLength)
  const labels = labelsOf(operation, 'train', train, x.n)
  const wanted = labelsOf(operation, 'test', test, held.n)
  const classes = Int32Array.from(new Set(labels)).sort()
  expectShape(
    classes.length > 1,
    operation,
    'at least two different labels in train',
    `only ${classes[0]}`,
    'Pass rows of several classes.',
  )
  expectSize((x.dim + 1) * classes.length, mostWeights, 'weights')
  expectSize(Math.max(x.n, held.n) * classes.length, mostLogits, 'rows · classes')
  const place = new Map(Array.from(classes, (label, c) => [label, c]))
  const targets = labels.map(label => place.get(label)!)
  const count = classes.length
  const found = minimise(crossEntropy(x, targets, count, penalty), new Float64Array((x.dim + 1) * count), {
    tolerance,
    maxIterations,
  })
  const weights = found.x.slice(0, x.dim * count)
  return {
    accuracy: share(held, found.x, count, row => place.get(wanted[row])),
    trainAccuracy: share(x, found.x, count, row => targets[row]),
    trainLoss: found.value - (penalty / (2 * x.n)) * weights.reduce((sum, w) => sum + w * w, 0),
    classes,
    weights,
    bias: found.x.slice(x.dim * count),
    iterations: found.iterations,
    converged: found.converged,
  }
}

function designOf(
  name: string,
  samples: Labelled,
  codebookSize: number | readonly number[] | undefined,
): Design {
  return 'codes' in samples
    ? oneHotDesign(operation, name, samples, codebookSize)
    : denseDesign(operation, name, samples)
}

// Mean cross-entropy + λ/2N·‖W‖² of parameters [dim + 1, C], the last row the biases.
function crossEntropy(x: Design, targets: Int32Array, count: number, penalty: number): Objective {
  const weights = x.dim * count
  const logits = new Float64Array(x.n * count)
  return (parameters, gradient) => {
    x.logits(parameters, count, logits)
    let sum = 0
    for (let row = 0; row < x.n; row++) {
      const from = row * count
      const target = logits[from + targets[row]]
      let most = Number.NEGATIVE_INFINITY
      for (let c = 0; c < count; c++) most = Math.max(most, logits[from + c])
      let total = 0
      for (let c = 0; c < count; c++) {
        logits[from + c] = Math.exp(logits[from + c] - most)
        total += logits[from + c]
      }
      sum += Math.log(total) + most - target
      // From here on the logits' gradient: (p − y) / N.
      for (let c = 0; c < count; c++) logits[from + c] /= total * x.n
      logits[from + targets[row]] -= 1 / x.n
    }
    gradient.fill(0)
    x.gradient(logits, count, gradient)
    let squares = 0
    for (let i = 0; i < weights; i++) {
      squares += parameters[i] * parameters[i]
      gradient[i] += (penalty / x.n) * parameters[i]
    }
    return sum / x.n + (penalty / (2 * x.n)) * squares
  }
}

function share(
  x: Design,
  parameters: Float64Array,
  count: number,
  target: (row: number) => number | undefined,
): number {
  const logits = new Float64Array(x.n * count)
  x.logits(parameters, count, logits)
  let right = 0
  for (let row = 0; row < x.n; row++) {
    let best = 0
    for (let c = 1; c < count; c++) if (logits[row * count + c] > logits[row * count + best]) best = c
    if (best === target(row)) right++
  }
  return right / x.n
}

function expectSize(size: number, most: number, what: string): void {
  if (size > most)
    throw new VqMemoryError({
      operation,
      expected: `at most ${most} ${what}`,
      received: `${size}`,
      remedy: 'Use embedded codes as features instead of one-hot ones, or fewer rows.',
    })
}
