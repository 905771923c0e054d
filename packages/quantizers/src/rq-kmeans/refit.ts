// Least squares for all codebooks together with the codes held: min over C of ‖X − Σ_l C_l[k_l]‖² (Babenko and Lempitsky
// 2014, "Additive quantization for extreme vector compression", section 3.2). Solved codebook by codebook, each in closed
// form (the mean of what the others leave), until nothing is gained: block Gauss-Seidel, which reaches the joint solution.
import type { RowStore } from './row-store.js'
import type { Turn } from './turn.js'

// Share of the error below which a sweep gains nothing.
const enough = 1e-9
const mostSweeps = 100

/** Changes the books in place. `store` holds what they leave of the rows, and is kept so; `codes` are [N] per stage. */
export async function refit(
  store: RowStore,
  books: Float32Array[],
  codes: Int32Array[],
  turn: Turn,
): Promise<void> {
  const { dim } = store
  let before = Number.POSITIVE_INFINITY
  for (let sweep = 0; sweep < mostSweeps; sweep++) {
    let error = 0
    for (const [l, book] of books.entries()) {
      const k = book.length / dim
      const [sums, counts] = [new Float64Array(k * dim), new Float64Array(k)]
      for (let b = 0; b < store.blocks; b++) {
        await turn.pass()
        store.visit(b, (rows, first) => {
          for (let i = 0, at = 0; at < rows.length; i++) {
            const c = codes[l][first + i] * dim
            counts[codes[l][first + i]]++
            for (let d = 0; d < dim; d++, at++) {
              sums[c + d] += rows[at]
              if (l === 0) error += rows[at] * rows[at]
            }
          }
          return false
        })
      }
      // What is really added to a float32 codebook is taken from the rows.
      const steps = book.map((x, i) => {
        const n = counts[Math.floor(i / dim)]
        return n > 0 ? Math.fround(x + sums[i] / n) - x : 0
      })
      for (let i = 0; i < book.length; i++) book[i] += steps[i]
      for (let b = 0; b < store.blocks; b++) {
        await turn.pass()
        store.visit(b, (rows, first) => {
          for (let i = 0, at = 0; at < rows.length; i++) {
            const c = codes[l][first + i] * dim
            for (let d = 0; d < dim; d++, at++) rows[at] -= steps[c + d]
          }
          return true
        })
      }
    }
    if (before - error <= enough * error) return
    before = error
  }
}
