// Source: http://yann.lecun.com/exdb/mnist/: two zero bytes, the type (8: bytes), the number of axes, their sizes as
// big-endian int32, then the values.
import { damaged } from '../files/places.js'

export interface Idx {
  shape: number[]
  /** A view of the file's bytes. */
  data: Uint8Array
}

/** The array of bytes in an idx file with `axes` axes. Throws VqFormatError for anything else. */
export function parseIdx(bytes: Uint8Array, axes: number, path: string): Idx {
  const head = 4 + 4 * axes
  if (bytes.length < head)
    throw damaged(path, 'idx', `a header of ${head} bytes`, `a file of ${bytes.length} bytes`)
  const words = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const magic = words.getUint32(0)
  const wanted = 0x0800 + axes
  if (magic !== wanted) throw damaged(path, 'idx', `the magic number ${wanted}`, `${magic}`)
  const shape = Array.from({ length: axes }, (_, i) => words.getUint32(4 + 4 * i))
  // As a float64, which cannot wrap around.
  const count = shape.reduce((a, b) => a * b, 1)
  if (count !== bytes.length - head)
    throw damaged(path, 'idx', `${count} bytes for [${shape.join(', ')}]`, `${bytes.length - head}`)
  return { shape, data: bytes.subarray(head) }
}
