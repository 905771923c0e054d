import { sizeOf } from '../backend/data.js'

/** How a tensor in memory is turned into PyTorch's order of axes: disk axis i is memory axis `permutation[i]`. */
export interface Layout {
  readonly permutation: readonly number[]
}

/** Memory [kh, kw, I, O] ↔ PyTorch OIHW; also memory [kh, kw, O, I] of a transposed convolution ↔ IOHW. */
export const convLayout: Layout = { permutation: [3, 2, 0, 1] }
/** Memory [in, out] ↔ PyTorch [out, in]. */
export const linearLayout: Layout = { permutation: [1, 0] }

export type Values = Float32Array | Int32Array

/** The shape on disk of a tensor of shape `shape` in memory. */
export function diskShape(shape: readonly number[], layout?: Layout): number[] {
  return layout === undefined ? [...shape] : layout.permutation.map(axis => shape[axis])
}

export function toDisk<T extends Values>(values: T, shape: readonly number[], layout?: Layout): T {
  return layout === undefined ? values : transpose(values, shape, layout.permutation)
}

/** `shape` is the one in memory. */
export function fromDisk<T extends Values>(values: T, shape: readonly number[], layout?: Layout): T {
  if (layout === undefined) return values
  const inverse = layout.permutation.map((_, axis) => layout.permutation.indexOf(axis))
  return transpose(values, diskShape(shape, layout), inverse)
}

// Output axis i is input axis permutation[i].
function transpose<T extends Values>(values: T, shape: readonly number[], permutation: readonly number[]): T {
  const out = values.slice() as T
  const strides = shape.map((_, i) => sizeOf(shape.slice(i + 1)))
  const sizes = permutation.map(axis => shape[axis])
  const steps = permutation.map(axis => strides[axis])
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
