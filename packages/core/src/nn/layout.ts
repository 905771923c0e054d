import { sizeOf } from '../backend/data.js'

/** How a tensor in memory is turned into PyTorch's order of axes: disk axis i is memory axis `permutation[i]`. */
export interface Layout {
  readonly permutation: readonly number[]
  /** The axes in memory with some of them split, for a tensor of that size; `permutation` then speaks of these. */
  readonly split?: readonly number[]
  /** The shape on disk, where permuted axes are joined again. Default: the permuted shape. */
  readonly joined?: readonly number[]
}

/** Memory [...kernel, I, O] ↔ PyTorch [O, I, ...kernel]; also memory [...kernel, O, I] of a transposed convolution ↔ [I, O, ...kernel]. */
export function convolutionLayout(axes: number): Layout {
  return { permutation: [axes + 1, axes, ...Array.from({ length: axes }, (_, i) => i)] }
}

/** Of two-dimensional convolutions: memory [kh, kw, I, O] ↔ PyTorch OIHW. */
export const convLayout: Layout = convolutionLayout(2)
/** Memory [in, out] ↔ PyTorch [out, in]. */
export const linearLayout: Layout = { permutation: [1, 0] }

/** Memory [..., C] of a feature map ↔ PyTorch [C, ...]. */
export function featureMapLayout(axes: number): Layout {
  return { permutation: channelsFirst(axes, 0) }
}

/**
 * Memory [in, out] ↔ PyTorch [out, in] of a linear layer whose inputs are a flattened feature map `from` [..., C], whose
 * outputs are unflattened into one `to` [..., C], or both: PyTorch has the channels of each before their places.
 */
export function flattenedLinearLayout(
  inFeatures: number,
  outFeatures: number,
  from: readonly number[] = [inFeatures],
  to: readonly number[] = [outFeatures],
): Layout {
  const permutation = [...channelsFirst(to.length, from.length), ...channelsFirst(from.length, 0)]
  return { permutation, split: [...from, ...to], joined: [outFeatures, inFeatures] }
}

/** A vector over a flattened feature map `map` [..., C] ↔ PyTorch's, channels before places. */
export function flattenedLayout(map: readonly number[]): Layout {
  return { permutation: channelsFirst(map.length, 0), split: map, joined: [sizeOf(map as number[])] }
}

// The last of `axes` axes, then the others; axes are counted from `first`.
function channelsFirst(axes: number, first: number): number[] {
  return Array.from({ length: axes }, (_, i) => first + ((i + axes - 1) % axes))
}

export type Values = Float32Array | Int32Array

/** The shape on disk of a tensor of shape `shape` in memory. */
export function diskShape(shape: readonly number[], layout?: Layout): number[] {
  if (layout === undefined) return [...shape]
  return [...(layout.joined ?? permuted(layout.split ?? shape, layout.permutation))]
}

export function toDisk<T extends Values>(values: T, shape: readonly number[], layout?: Layout): T {
  return layout === undefined ? values : transpose(values, layout.split ?? shape, layout.permutation)
}

/** `shape` is the one in memory. */
export function fromDisk<T extends Values>(values: T, shape: readonly number[], layout?: Layout): T {
  if (layout === undefined) return values
  const { permutation } = layout
  const inverse = permutation.map((_, axis) => permutation.indexOf(axis))
  return transpose(values, permuted(layout.split ?? shape, permutation), inverse)
}

function permuted(shape: readonly number[], permutation: readonly number[]): number[] {
  return permutation.map(axis => shape[axis])
}

// Output axis i is input axis permutation[i].
function transpose<T extends Values>(values: T, shape: readonly number[], permutation: readonly number[]): T {
  const out = values.slice() as T
  const strides = shape.map((_, i) => sizeOf(shape.slice(i + 1)))
  const sizes = permuted(shape, permutation)
  const steps = permuted(strides, permutation)
  const at = sizes.map(() => 0)
  let from = 0
  for (let to = 0; to < out.length; to++) {
    out[to] = values[from]
    for (let axis = sizes.length - 1; axis >= 0; axis--) {
      from += steps[axis]
      if (++at[axis] < sizes[axis]) break
      from -= steps[axis] * sizes[axis]
      at[axis] = 0
    }
  }
  return out
}
