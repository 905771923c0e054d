/** Mean over dimensions of the variance (divided by N). */
export function varianceOf(vectors: Float32Array, dim: number): number {
  const n = vectors.length / dim
  const mean = new Float64Array(dim)
  for (let i = 0; i < vectors.length; i++) mean[i % dim] += vectors[i] / n
  let total = 0
  for (let i = 0; i < vectors.length; i++) total += (vectors[i] - mean[i % dim]) ** 2
  return total / vectors.length
}
