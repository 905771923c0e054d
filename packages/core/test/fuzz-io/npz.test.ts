import { deepStrictEqual } from 'node:assert'
import { loadNpz, openNpz } from '@vq/core/io'
import { fuzzParser } from './driver.js'
import { mutate } from './mutate.js'
import { agrees } from './tensor.js'
import { mutateZip } from './zip-mutations.js'

fuzzParser({
  name: 'npz',
  corpus: 'npz',
  ending: '.npz',
  mutate: mutateZip(() => mutate),
  // Deflated members may be up to 1032 times as large as the file.
  factor: 1100,
  parse: async path => {
    const arrays = await loadNpz(path)
    const file = await openNpz(path)
    try {
      // Objects have names that are whole numbers first.
      deepStrictEqual([...file.entries.keys()].sort(), Object.keys(arrays).sort())
      for (const [name, entry] of file.entries) {
        agrees(arrays[name], entry)
        deepStrictEqual(await file.read(name), arrays[name])
      }
    } finally {
      await file.close()
    }
    return Object.values(arrays).map(({ data }) => data)
  },
})
