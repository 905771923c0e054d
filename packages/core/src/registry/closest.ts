/**
 * The name that takes the fewest letters put in, left out, changed or swapped with a neighbour (Damerau 1964) from `name`, in
 * small letters; the first of several.
 */
export function closest(name: string, names: readonly string[]): string | undefined {
  let best: string | undefined
  let least = Number.POSITIVE_INFINITY
  for (const candidate of names) {
    const changes = distance(name.toLowerCase(), candidate.toLowerCase())
    if (changes >= least) continue
    least = changes
    best = candidate
  }
  return best
}

function distance(a: string, b: string): number {
  const rows = [Array.from({ length: b.length + 1 }, (_, j) => j)]
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const changed = rows[i - 1][j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1)
      row.push(Math.min(rows[i - 1][j] + 1, row[j - 1] + 1, changed))
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        row[j] = Math.min(row[j], rows[i - 2][j - 2] + 1)
    }
    rows.push(row)
  }
  return rows[a.length][b.length]
}
