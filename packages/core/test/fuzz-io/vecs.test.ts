import { deepStrictEqual, strictEqual } from 'node:assert'
import { renameSync } from 'node:fs'
import { iterateVecs, loadVecs } from '@vq/core/io'
import { fuzzParser } from './driver.js'

// The type is the ending's, so every file is read as each of the three.
fuzzParser({
  name: 'vecs',
  corpus: 'vecs',
  parse: async path => {
    const found: ArrayBufferView[] = []
    let last: unknown
    let here = path
    for (const ending of ['.fvecs', '.ivecs', '.bvecs']) {
      const named = `${path}${ending}`
      renameSync(here, named)
      here = named
      try {
        const { data, dim, count } = await loadVecs(named)
        strictEqual(data.length, dim * count)
        const parts: number[] = []
        for await (const part of iterateVecs(named, { batch: 2 })) parts.push(...part.data)
        deepStrictEqual(parts, [...data])
        found.push(data)
      } catch (error) {
        last = error
      }
    }
    if (found.length === 0) throw last
    return found
  },
})
