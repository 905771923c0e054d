import { bitsOf } from './stored-bytes.js'
import { elementsPerValue, type StoredType } from './stored-tensor.js'

/** Turns big-endian numbers into little-endian ones in place; both parts of a complex number by themselves. */
export function swapBytes(
  bytes: Uint8Array<ArrayBuffer>,
  dtype: StoredType,
  bigEndian: boolean,
): Uint8Array<ArrayBuffer> {
  const width = bitsOf[dtype] / 8 / elementsPerValue(dtype)
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  if (!bigEndian) return bytes
  if (width === 2) view.swap16()
  else if (width === 4) view.swap32()
  else if (width === 8) view.swap64()
  return bytes
}
