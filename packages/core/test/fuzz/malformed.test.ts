import { expect, test } from 'vitest'
import { firstSeed, runs } from './agree.js'
import { isTyped, measure, outcome, show } from './call.js'
import { isWhole, lies, malformed } from './malformed.js'
import { Rng } from './rng.js'
import { families } from './table.js'

for (const [family, table] of Object.entries(families))
  test(`malformed calls of ${family} kernels give an answer or a typed error`, { timeout: 1_200_000 }, () => {
    const tally = { answers: 0, errors: 0 }
    for (const [name, { call: make }] of Object.entries(table))
      for (let seed = firstSeed; seed < firstSeed + runs; seed++) {
        const r = new Rng(seed)
        const call = malformed(r, make(r))
        const got = outcome('vq-cpu', name, call, undefined, measure)
        const where = `${name}, VQ_FUZZ_SEED=${seed}`
        if ('error' in got) {
          tally.errors++
          if (!isTyped(got.error))
            expect.fail(`${where} threw ${got.error.stack}\n${show(call).slice(0, 3000)}`)
          continue
        }
        tally.answers++
        // A kernel that only passes a tensor on passes on what it claims.
        for (const { shape, dtype, data } of lies(call) ? [] : got.results)
          if (!Array.isArray(shape) || !isWhole(shape, dtype, data.length))
            expect.fail(`${where}: ${data.length} values of [${shape}]\n${show(call).slice(0, 3000)}`)
      }
    expect(tally.errors).toBeGreaterThan(0)
  })
