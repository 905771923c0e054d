// Planes of half the width, or half the width and height, made whole by libjpeg's triangle filters (jdsample.c).

/** A plane of samples; rows are `stride` apart. */
export interface Plane {
  samples: Uint8ClampedArray
  width: number
  height: number
  stride: number
}

/** Twice as wide: 3/4 of the nearer sample and 1/4 of the farther one. */
export function widen(plane: Plane, width: number): Uint8ClampedArray {
  const { samples, stride, height, width: half } = plane
  const out = new Uint8ClampedArray(width * height)
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const at = y * stride + (x >> 1)
      const left = x & 1 ? at : at - 1
      if (x === 0 || x === 2 * half - 1) out[y * width + x] = samples[at]
      else out[y * width + x] = (3 * samples[at] + samples[x & 1 ? at + 1 : left] + (x & 1 ? 2 : 1)) >> 2
    }
  return out
}

/** Twice as wide and high: 9/16 of the nearest sample, 3/16 of two, 1/16 of the farthest. */
export function enlarge(plane: Plane, width: number, height: number): Uint8ClampedArray {
  const { samples, stride } = plane
  const half = plane.width
  const out = new Uint8ClampedArray(width * height)
  const sums = new Int32Array(half)
  for (let y = 0; y < height; y++) {
    const near = (y >> 1) * stride
    const far = Math.min(plane.height - 1, Math.max(0, (y >> 1) + (y & 1 ? 1 : -1))) * stride
    for (let x = 0; x < half; x++) sums[x] = 3 * samples[near + x] + samples[far + x]
    const to = y * width
    for (let x = 0; x < width; x++) {
      const at = x >> 1
      const own = sums[at]
      if (x & 1) out[to + x] = (at === half - 1 ? own * 4 + 7 : own * 3 + sums[at + 1] + 7) >> 4
      else out[to + x] = (at === 0 ? own * 4 + 8 : own * 3 + sums[at - 1] + 8) >> 4
    }
  }
  return out
}
