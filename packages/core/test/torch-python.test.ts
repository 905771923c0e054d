import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadTorchCheckpoint, openTorchCheckpoint } from '@vq/core/io'
import { afterAll, describe, expect, it } from 'vitest'
import { describeTree, expectedIn } from './torch-oracle.js'

const python = process.env.VQ_PYTHON ?? 'python3'
const script = join(import.meta.dirname, '../../../test/oracle/torch-checkpoints.py')
const folder = mkdtempSync(join(tmpdir(), 'vq-torch-'))
const seed = process.env.VQ_FUZZ_SEED ?? '1'
const count = process.env.VQ_TEST_FULL === '1' ? '2000' : '60'
// One run makes all, as importing PyTorch takes longer than the rest.
const made = spawnSync(python, [script, 'random', folder, seed, count, 'resnet'], { encoding: 'utf8' })
const hasTorch = made.error === undefined && !/ModuleNotFoundError/.test(made.stderr)

const clean = (): void => rmSync(folder, { recursive: true, force: true })
if (!hasTorch) clean()
afterAll(clean)

describe.skipIf(!hasTorch)('with PyTorch at hand (VQ_PYTHON names a Python that has it)', () => {
  it('random trees come back as PyTorch saved them', async () => {
    expect(made.status, made.stderr).toBe(0)
    for (const [file, tree] of expectedIn(folder)) {
      const { value } = await loadTorchCheckpoint(join(folder, file))
      expect(describeTree(value), `${file} of seed ${seed}`).toEqual(tree)
    }
  })

  it('a whole ResNet-18 is read bit for bit in both forms', async context => {
    const models = join(folder, 'resnet')
    if (!existsSync(join(models, 'expected.json'))) return context.skip('torchvision was not found')
    const expected = expectedIn(models)
    for (const file of ['resnet.pt', 'resnet-legacy.pt']) {
      const path = join(models, file)
      const start = performance.now()
      const { tensors } = await loadTorchCheckpoint(path)
      const ms = performance.now() - start
      console.log(`${file}: ${(statSync(path).size / 1e6).toFixed(0)} MB in ${ms.toFixed(0)} ms`)
      const digest = (data: ArrayBufferView): string =>
        createHash('sha256')
          .update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
          .digest('hex')
      expect(Object.keys(tensors)).toEqual(expected.map(([name]) => name))
      for (const [name, description] of expected) {
        const { dtype, shape, data } = tensors[name]
        expect([dtype, shape, digest(data)], name).toEqual(description)
      }
      const before = process.memoryUsage().arrayBuffers
      const opened = await openTorchCheckpoint(path)
      expect((await opened.read('fc.bias')).data).toEqual(tensors['fc.bias'].data)
      await opened.close()
      const kept = process.memoryUsage().arrayBuffers - before
      console.log(`${file}: one tensor alone with ${(kept / 1e6).toFixed(2)} MB`)
    }
  })
})
