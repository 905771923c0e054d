/** Standard normal float32 values from a small generator of the tests' own (mulberry32, Box–Muller). */
export function draw(count: number, seed: number, scale = 1): Float32Array {
  const next = uniform(seed)
  return Float32Array.from({ length: count }, () => {
    const r = Math.sqrt(-2 * Math.log(1 - next()))
    return scale * r * Math.cos(2 * Math.PI * next())
  })
}

export function uniform(seed: number): () => number {
  let a = seed >>> 0
  return () => {
    a = (a + 0x6d2b79f5) >>> 0
    let t = Math.imul(a ^ (a >>> 15), a | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

/** Squared distance in float64. */
export function squaredDistance(
  a: ArrayLike<number>,
  i: number,
  b: ArrayLike<number>,
  j: number,
  dim: number,
): number {
  let s = 0
  for (let d = 0; d < dim; d++) s += (a[i * dim + d] - b[j * dim + d]) ** 2
  return s
}
