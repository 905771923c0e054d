import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { openSafetensors, type StoredTensor } from '@vq/core/io'
import { afterAll } from 'vitest'
import { corpusFiles, fuzzParser, scratch } from './driver.js'
import { mutateFramed } from './framed.js'
import { agrees } from './tensor.js'

/** Everything that is in safetensors, each tensor checked against its entry. */
async function readAll(path: string): Promise<StoredTensor['data'][]> {
  const file = await openSafetensors(path)
  try {
    const found: StoredTensor['data'][] = []
    for (const [name, entry] of file.entries) {
      const tensor = await file.read(name)
      agrees(tensor, entry)
      found.push(tensor.data)
      if (entry.shape.length === 0) continue
      const rows = Math.ceil(entry.shape[0] / 2)
      const half = await file.read(name, { rows: [0, rows] })
      agrees(half, { ...entry, shape: [rows, ...entry.shape.slice(1)] })
    }
    return found
  } finally {
    await file.close()
  }
}

fuzzParser({
  name: 'safetensors',
  corpus: 'safetensors',
  ending: '.safetensors',
  mutate: mutateFramed(bytes => (bytes.length < 8 ? undefined : { lengthAt: 0, width: 8 })),
  parse: readAll,
})

// The files that the index names lie beside it, unchanged.
const folder = mkdtempSync(join(scratch, 'vq-fuzz-index-files-'))
mkdirSync(join(folder, 'sub'))
for (const [name, bytes] of corpusFiles('safetensors')) {
  writeFileSync(join(folder, name), bytes)
  writeFileSync(join(folder, 'sub', name), bytes)
}
afterAll(() => rmSync(folder, { recursive: true }))

fuzzParser({
  name: 'the index of safetensors',
  corpus: 'safetensors-index',
  ending: '.json',
  parse: path => {
    // Outside of the folder there is something too, which must not be reached.
    const copy = join(folder, 'sub', 'case.index.json')
    if (dirname(path) !== dirname(copy)) writeFileSync(copy, readFileSync(path))
    return readAll(copy)
  },
})
