import { expect, test } from 'vitest'
import { type Call, difference, type Fuzz, type FuzzTable, isTyped, outcome, show } from './call.js'
import { Rng } from './rng.js'

const full = process.env.VQ_TEST_FULL === '1'
/** VQ_FUZZ_SEED starts elsewhere; VQ_FUZZ_RUNS sets how many calls a kernel gets. */
export const firstSeed = Number(process.env.VQ_FUZZ_SEED ?? 1)
export const runs = Number(process.env.VQ_FUZZ_RUNS ?? (full ? 2000 : 100))

/** Fuzzes each kernel of a table against the plain backend. */
export function fuzz(family: FuzzTable): void {
  for (const [name, entry] of Object.entries(family))
    test(`${name} answers as the plain backend does, whatever the shapes and values`, { timeout: 600_000 }, () => {
      let compared = 0
      for (let seed = firstSeed; seed < firstSeed + runs; seed++) {
        const call = entry.call(new Rng(seed))
        const wrong = check(name, entry, call)
        if (wrong === '') compared++
        else if (wrong !== undefined)
          expect.fail(`${name}, VQ_FUZZ_SEED=${seed}: ${wrong}\n${show(call).slice(0, 3000)}`)
      }
      // A generator whose calls all fall under an exception would test nothing.
      if (entry.alone === undefined) expect(compared).toBeGreaterThan(runs / 8)
    })
}

/** What is wrong with the answer to a call: '' where it was compared, undefined where there was nothing to compare. */
function check(name: string, entry: Fuzz, call: Call): string | undefined {
  const ours = outcome('vq-cpu', name, call)
  if ('error' in ours && !isTyped(ours.error)) return `threw ${ours.error.stack}`
  if (entry.alone !== undefined || entry.plainIsWrong?.(call) === true)
    return 'error' in ours ? `refused: ${ours.error.message}` : undefined
  const plain = outcome('cpu', name, call, entry.plain)
  if ('error' in plain)
    return 'error' in ours ? '' : `the plain backend throws: ${plain.error.message}; ours answered`
  if ('error' in ours) return `refused: ${ours.error.message}`
  return difference(plain.results, ours.results, entry.tolerance ?? 0) ?? ''
}
