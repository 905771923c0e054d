import { deepStrictEqual } from 'node:assert'
import { readFileSync } from 'node:fs'
import { loadNpy, parseNpy } from '@vq/core/io'
import { fuzzParser } from './driver.js'
import { mutateFramed } from './framed.js'
import { agrees } from './tensor.js'

fuzzParser({
  name: 'npy',
  corpus: 'npy',
  ending: '.npy',
  mutate: mutateFramed(bytes =>
    bytes.length < 12 ? undefined : { lengthAt: 8, width: bytes[6] === 1 ? 2 : 4 },
  ),
  parse: async path => {
    const tensor = await loadNpy(path)
    agrees(tensor, tensor)
    deepStrictEqual(parseNpy(readFileSync(path), path), tensor)
    return [tensor.data]
  },
})
