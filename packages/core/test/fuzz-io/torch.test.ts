import { deepStrictEqual, ok } from 'node:assert'
import { loadTorchCheckpoint, openTorchCheckpoint } from '@vq/core/io'
import { fuzzParser } from './driver.js'
import { mutatePickle } from './pickle-mutations.js'
import { agrees } from './tensor.js'
import { arraysIn } from './tree.js'
import { mutateZip } from './zip-mutations.js'

async function readAll(path: string): Promise<ArrayBufferView[]> {
  const { value, tensors } = await loadTorchCheckpoint(path)
  const arrays = new Set(arraysIn(value))
  const file = await openTorchCheckpoint(path)
  try {
    // Objects have names that are whole numbers first.
    deepStrictEqual([...file.entries.keys()].sort(), Object.keys(tensors).sort())
    for (const [name, entry] of [...file.entries].slice(0, 200)) {
      agrees(tensors[name], entry)
      deepStrictEqual(await file.read(name), tensors[name])
      ok(arrays.has(tensors[name].data), `'${name}' is not in the tree`)
    }
  } finally {
    await file.close()
  }
  return [...arrays]
}

// A tensor may repeat its storage up to 64 MiB, and all together come to 256, whatever the file's size.
const factor = 2 ** 21

fuzzParser({
  name: "PyTorch's zip form",
  corpus: 'torch-zip',
  ending: '.pt',
  mutate: mutateZip(() => mutatePickle),
  factor,
  parse: readAll,
})

fuzzParser({
  name: "PyTorch's legacy form",
  corpus: 'torch-legacy',
  ending: '.pt',
  mutate: (bytes, rng, others) => mutatePickle(bytes, rng, others, 5),
  factor,
  parse: readAll,
})

fuzzParser({ name: "PyTorch's tar form", corpus: 'torch-tar', ending: '.pt', factor, parse: readAll })
