import type { Random } from '../random.js'

/**
 * `count` orthonormal vectors of length `width`, at least `count`, uniform among all such sets: Gram and Schmidt's process
 * on normal vectors, twice each, because once loses digits where vectors are nearly parallel.
 */
export function orthonormal(count: number, width: number, generator: Random): Float64Array[] {
  const done: Float64Array[] = []
  while (done.length < count) {
    const v = Float64Array.from({ length: width }, () => generator.normal())
    for (let pass = 0; pass < 2; pass++) {
      for (const u of done) {
        const along = dot(u, v)
        for (let j = 0; j < width; j++) v[j] -= along * u[j]
      }
      const norm = Math.sqrt(dot(v, v))
      for (let j = 0; j < width; j++) v[j] /= norm
    }
    done.push(v)
  }
  return done
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i]
  return sum
}
