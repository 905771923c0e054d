import { describe } from '../check.js'
import { VqConfigError, VqShapeError, VqValueError } from '../errors.js'

type Sized = { readonly length: number }
type Kinds = { Float32Array: Float32Array; Int32Array: Int32Array }

/**
 * `value` as a typed array that native code may read: of the right kind, attached, not shared with other threads and not
 * resizable (shared and resizable ones are copied).
 */
export function typedArray<K extends keyof Kinds>(
  operation: string,
  name: string,
  value: unknown,
  kind: K,
): Kinds[K] {
  if (!ArrayBuffer.isView(value) || Object.prototype.toString.call(value) !== `[object ${kind}]`)
    throw new VqConfigError({
      operation,
      expected: `${name} to be a ${kind}`,
      received: describe(value),
      remedy: `Pass a ${kind}, for instance ${kind}.from(values).`,
    })
  const array = value as Kinds[K]
  try {
    array.at(0) // throws on a detached buffer and on a view that its buffer has outshrunk
  } catch (cause) {
    throw new VqValueError({
      operation,
      expected: `${name} to have memory behind it`,
      received: `a ${kind} whose buffer was transferred, or resized to less than the view needs`,
      remedy: 'Call before transferring or shrinking the buffer, or pass a copy made with slice().',
      cause,
    })
  }
  const { buffer } = array as { buffer: ArrayBufferLike & { resizable?: boolean; growable?: boolean } }
  const plain = buffer instanceof ArrayBuffer && buffer.resizable !== true
  return plain ? array : (array.slice() as Kinds[K])
}

/** Number of rows of `dim` elements; the length must divide. */
export function rowsOf(operation: string, name: string, array: Sized, dim: number): number {
  if (array.length % dim !== 0)
    throw new VqShapeError({
      operation,
      expected: `${name} to hold whole rows of dim ${dim}`,
      received: `${array.length} numbers`,
      remedy: `Pass rows behind one another, and the length of one row as dim.`,
    })
  return array.length / dim
}

/** At least one row. */
export function codesOf(operation: string, name: string, array: Sized, dim: number): number {
  const rows = rowsOf(operation, name, array, dim)
  if (rows === 0)
    throw new VqShapeError({
      operation,
      expected: `${name} to hold at least one code`,
      received: 'an empty array',
      remedy: 'Pass a codebook of [K, dim] numbers with K of at least 1.',
    })
  return rows
}

/** Throws unless `target`, which the caller may have detached or resized meanwhile, still has `length` elements. */
export function expectWritable(
  operation: string,
  name: string,
  target: Float32Array | Int32Array,
  length: number,
): void {
  if (target.length !== length)
    throw new VqValueError({
      operation,
      expected: `${name} to keep its ${length} elements until the call has ended`,
      received: `a length of ${target.length} now`,
      remedy: 'Do not transfer or resize the arrays of the state while a call on them runs.',
    })
}
