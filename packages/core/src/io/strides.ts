/**
 * Elements that lie `strides` apart, in row-major order. Strides and the offset are in elements, of `width` bytes (1, 2, or a
 * multiple of 4), which are moved as they are. The caller has checked that all of them lie within the bytes.
 */
export function gatherStrided(
  bytes: Uint8Array<ArrayBuffer>,
  shape: readonly number[],
  strides: readonly number[],
  offset: number,
  width: number,
): Uint8Array<ArrayBuffer> {
  const count = shape.reduce((a, b) => a * b, 1)
  if (isRowMajor(shape, strides)) return bytes.subarray(offset * width, (offset + count) * width)
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice()
  const Words = width === 1 ? Uint8Array : width === 2 ? Uint16Array : Uint32Array
  const words = width <= 4 ? 1 : width / 4
  const from = new Words(
    aligned.buffer,
    aligned.byteOffset,
    Math.floor(aligned.length / Words.BYTES_PER_ELEMENT),
  )
  const out = new Words(count * words)
  const last = shape.length - 1
  const step = strides[last] * words
  const at = shape.map(() => 0)
  let source = offset * words
  for (let to = 0; to < out.length; ) {
    for (let i = 0, s = source; i < shape[last]; i++, s += step)
      for (let w = 0; w < words; w++) out[to++] = from[s + w]
    for (let axis = last - 1; axis >= 0; axis--) {
      source += strides[axis] * words
      if (++at[axis] < shape[axis]) break
      source -= strides[axis] * words * shape[axis]
      at[axis] = 0
    }
  }
  return new Uint8Array(out.buffer)
}

/** Fortran's order, the first axis fastest, to row-major. */
export function rowMajor(
  bytes: Uint8Array<ArrayBuffer>,
  shape: readonly number[],
  width: number,
): Uint8Array<ArrayBuffer> {
  let stride = 1
  const strides = shape.map(size => {
    const own = stride
    stride *= size
    return own
  })
  return gatherStrided(bytes, shape, strides, 0, width)
}

/** Whether elements lie in row-major order without gaps. Axes of size 1 may have any stride. */
export function isRowMajor(shape: readonly number[], strides: readonly number[]): boolean {
  let expected = 1
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    if (shape[axis] === 0) return true
    if (shape[axis] !== 1 && strides[axis] !== expected) return false
    expected *= shape[axis]
  }
  return true
}
