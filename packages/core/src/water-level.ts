// Reverse water-filling: Cover and Thomas, Elements of Information Theory, theorem 10.3.3.
/**
 * θ with Σ max(0, ½·log2(λ_i/θ)) = rate bits, for eigenvalues in descending order: with the m largest above it,
 * log2 θ = (Σ log2 λ_i − 2·rate)/m. No power at all gives 0.
 */
export function waterLevel(values: ArrayLike<number>, rate: number): number {
  let logs = 0
  for (let m = 1; m <= values.length && values[m - 1] > 0; m++) {
    logs += Math.log2(values[m - 1])
    const level = 2 ** ((logs - 2 * rate) / m)
    const next = m < values.length ? values[m] : 0
    if (level >= next || !(next > 0)) return Math.min(level, values[m - 1])
  }
  return 0
}
