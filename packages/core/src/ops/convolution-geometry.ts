import { describe, expectShape } from '../check.js'
import { VqConfigError } from '../errors.js'

// Preparing a convolution takes time and memory in proportion to what it reaches behind the edges of an image.
const farthest = 65_536

/** One number for all axes of space, or one for each. */
export type PerAxis = number | readonly number[]

export interface ConvOptions {
  /** Step. Default 1. */
  stride?: PerAxis
  /**
   * Zeros on each side, as in PyTorch; per axis also as [before, after]. 'same' keeps the size where stride is 1; of an odd
   * number of zeros, the larger half comes after. Default 0.
   */
  padding?: number | 'same' | readonly (number | readonly [number, number])[]
  /** Distance between neighbouring taps of the filter. Default 1. */
  dilation?: PerAxis
  /** Into how many parts the channels fall that are convolved on their own. Default 1. */
  groups?: number
}

export interface ConvTransposeOptions extends Omit<ConvOptions, 'padding'> {
  /** What a convolution that goes the other way would add, on each side. Default 0. */
  padding?: number | readonly (number | readonly [number, number])[]
  /** Added to the size of the result, at its end; less than stride or dilation. Default 0. */
  outputPadding?: PerAxis
}

/** Options with one entry per axis of space. */
export interface Geometry {
  strides: number[]
  /** Before and after. */
  pads: [number, number][]
  dilations: number[]
  /** Of transposed convolutions. */
  extra: number[]
  groups: number
}

/** A list of whole numbers from `least` to `most`, one per axis. Throws VqConfigError. */
export function perAxis(
  operation: string,
  name: string,
  value: unknown,
  axes: number,
  least: number,
  most: number = 2 ** 31 - 1,
): number[] {
  const list: unknown = typeof value === 'number' ? new Array<number>(axes).fill(value) : value
  const fits = (n: unknown): boolean => Number.isInteger(n) && (n as number) >= least && (n as number) <= most
  if (Array.isArray(list) && list.length === axes && list.every(fits)) return [...list]
  throw new VqConfigError({
    operation,
    expected: `${name} to be a whole number from ${least} to ${most}${axes === 1 ? '' : `, or ${axes} such numbers`}`,
    received: Array.isArray(value) ? `[${value}]` : describe(value),
    remedy: `Pass ${name} in that range.`,
  })
}

function padsOf(operation: string, padding: unknown, axes: number): [number, number][] {
  if (!Array.isArray(padding)) return perAxis(operation, 'padding', padding, axes, 0).map(p => [p, p])
  const pairs = padding.map(p => (Array.isArray(p) ? p : [p, p]))
  if (
    pairs.length === axes &&
    pairs.every(p => p.length === 2 && p.every(n => Number.isInteger(n) && n >= 0))
  )
    return pairs as [number, number][]
  throw new VqConfigError({
    operation,
    expected: `padding for ${axes} axes, each a whole number of at least 0 or two of them`,
    received: JSON.stringify(padding),
    remedy: 'Pass zeros per side, the first axis of space first.',
  })
}

function expectNear(operation: string, name: string, distances: readonly number[]): void {
  if (distances.every(n => n <= farthest)) return
  throw new VqConfigError({
    operation,
    expected: `${name} of at most ${farthest}`,
    received: `[${distances}]`,
    remedy: 'Pass smaller numbers, or pad the images with tf.pad first.',
  })
}

/** Fills in what options leave out. `kernel` is the filter's size on each axis of space. */
export function geometryOf(
  operation: string,
  kernel: readonly number[],
  options: ConvOptions & { outputPadding?: PerAxis },
): Geometry {
  const { stride = 1, padding = 0, dilation = 1, groups = 1, outputPadding = 0 } = options
  const axes = kernel.length
  const strides = perAxis(operation, 'stride', stride, axes, 1)
  const dilations = perAxis(operation, 'dilation', dilation, axes, 1)
  const extra = perAxis(operation, 'outputPadding', outputPadding, axes, 0)
  const [parts] = perAxis(operation, 'groups', groups, 1, 1)
  const between = kernel.map((k, i) => (dilations[i] > 1 ? (k - 1) * dilations[i] : 0))
  expectNear(operation, 'dilation·(kernelSize − 1)', between)
  if (extra.some((n, i) => n > 0 && n >= Math.max(strides[i], dilations[i])))
    throw new VqConfigError({
      operation,
      expected: 'outputPadding to be less than stride or dilation',
      received: `[${extra}] with strides [${strides}] and dilations [${dilations}]`,
      remedy: 'It chooses among the sizes that the convolution the other way shrinks to one.',
    })
  if (padding !== 'same') {
    const pads = padsOf(operation, padding, axes)
    expectNear(operation, 'padding', pads.flat())
    return { strides, dilations, extra, groups: parts, pads }
  }
  if (strides.some(s => s !== 1))
    throw new VqConfigError({
      operation,
      expected: "stride 1 beside padding 'same'",
      received: `strides [${strides}]`,
      remedy: 'Pass the padding as numbers.',
    })
  const pads = kernel.map((k, i): [number, number] => {
    const total = (k - 1) * dilations[i]
    return [Math.floor(total / 2), Math.ceil(total / 2)]
  })
  return { strides, dilations, extra, groups: parts, pads }
}

/** The size that a filter covers on each axis. */
export function reach(kernel: readonly number[], { dilations }: Geometry): number[] {
  return kernel.map((k, i) => (k - 1) * dilations[i] + 1)
}

/** Sizes of a transposed convolution's result. Throws VqShapeError where nothing is left of it. */
export function transposedSizes(
  operation: string,
  sizes: readonly number[],
  kernel: readonly number[],
  g: Geometry,
): number[] {
  const covered = reach(kernel, g)
  const out = sizes.map(
    (n, i) => (n - 1) * g.strides[i] - g.pads[i][0] - g.pads[i][1] + covered[i] + g.extra[i],
  )
  expectShape(
    out.every(n => n >= 1),
    operation,
    'a result of at least one place',
    `sizes [${sizes}], which would give [${out}]`,
    'Use less padding or larger images.',
  )
  return out
}

/** Throws VqShapeError where the filter is larger than the padded image. */
export function expectRoom(
  operation: string,
  sizes: readonly number[],
  kernel: readonly number[],
  g: Geometry,
): void {
  const covered = reach(kernel, g)
  if (sizes.every((n, i) => n + g.pads[i][0] + g.pads[i][1] >= covered[i])) return
  expectShape(
    false,
    operation,
    'an image at least as large as the filter',
    `sizes [${sizes}] with padding [${g.pads.join('; ')}] for a filter that covers [${covered}]`,
    'Use larger images, a smaller kernel or more padding.',
  )
}
