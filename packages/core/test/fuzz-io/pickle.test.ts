import { deepStrictEqual } from 'node:assert'
import { loadPickle } from '@vq/core/io'
import { fuzzParser } from './driver.js'
import { mutatePickle } from './pickle-mutations.js'
import { arraysIn } from './tree.js'

fuzzParser({
  name: 'pickles',
  corpus: 'pickle',
  ending: '.pkl',
  mutate: mutatePickle,
  parse: async path => {
    const value = await loadPickle(path)
    const arrays = arraysIn(value)
    deepStrictEqual(await loadPickle(path), value)
    return arrays
  },
})
