/**
 * How often each different full code occurs among `codes` [N, Q], row by row, of codebooks of `sizes` codes; −1 counts as a
 * code of its own. In no particular order. By sorting: a map would end at 2^24 different codes.
 */
export function fullCodeCounts(codes: Int32Array, sizes: readonly number[]): Float64Array {
  const fits = sizes.reduce((product, size) => product * (size + 1), 1) <= Number.MAX_SAFE_INTEGER
  return fits ? byNumber(codes, sizes) : byRows(codes, sizes.length)
}

// Rows as whole numbers, a digit per level.
function byNumber(codes: Int32Array, sizes: readonly number[]): Float64Array {
  const levels = sizes.length
  const keys = new Float64Array(codes.length / levels)
  for (let i = 0, at = 0; i < keys.length; i++)
    for (const size of sizes) keys[i] = keys[i] * (size + 1) + codes[at++] + 1
  keys.sort()
  return runs(keys.length, i => keys[i] === keys[i - 1])
}

function byRows(codes: Int32Array, levels: number): Float64Array {
  const compare = (a: number, b: number): number => {
    let l = 0
    while (l < levels - 1 && codes[a * levels + l] === codes[b * levels + l]) l++
    return codes[a * levels + l] - codes[b * levels + l]
  }
  const order = new Uint32Array(codes.length / levels).map((_, i) => i).sort(compare)
  return runs(order.length, i => compare(order[i], order[i - 1]) === 0)
}

// Lengths of the runs of n things, where `same` says that thing i is as the one before.
function runs(n: number, same: (i: number) => boolean): Float64Array {
  const ends: number[] = []
  for (let i = 1; i <= n; i++) if (i === n || !same(i)) ends.push(i)
  return Float64Array.from(ends, (end, i) => end - (ends[i - 1] ?? 0))
}
