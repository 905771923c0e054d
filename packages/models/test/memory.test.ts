import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { device, Random, tf } from '@vq/core'
import { VQVAE } from '@vq/models'
import { ArrayDataset, DataLoader } from '@vq/models/data'
import { Trainer } from '@vq/models/train'
import { expect, test } from 'vitest'

setFlagsFromString('--expose_gc')
const collect = runInNewContext('gc') as () => void
const full = process.env.VQ_TEST_FULL === '1'

// What a step leaves behind would show as live tensors, as native memory, or as heap that survives collection.
test(`${full ? 3000 : 400} training steps do not grow after the first hundred`, async () => {
  expect(tf.getBackend()).toBe('vq-cpu')
  const images = new ArrayDataset(new Random(1).fillUniform(new Float32Array(64 * 8 * 8 * 3)), [8, 8, 3])
  const model = new VQVAE({
    architecture: 'igpt',
    hiddenDims: [16],
    embeddingDim: 16,
    numEmbeddings: 32,
    random: new Random(0),
  })
  const loader = new DataLoader(images, { batchSize: 16, seed: 0 })
  const seen: { tensors: number; native: number; cached: number; heap: number }[] = []
  const look = (): void => {
    collect()
    const { tensors, native } = device.memory()
    const { bytesInUse, bytesCached } = native as { bytesInUse: number; bytesCached: number }
    seen.push({ tensors, native: bytesInUse, cached: bytesCached, heap: process.memoryUsage().heapUsed })
  }
  const steps = full ? 3000 : 400
  const every = steps / 4
  await new Trainer({
    steps,
    learningRate: 1e-3,
    clipNorm: 1,
    progress: ({ step }) => {
      if (step === 100 || (step > 100 && step % every === 0)) look()
    },
  }).fit(model, loader)
  expect(seen.length).toBeGreaterThanOrEqual(4)
  const [first, ...later] = seen
  for (const now of later) {
    expect([now.tensors, now.native, now.cached]).toEqual([first.tensors, first.native, first.cached])
    expect(now.heap - first.heap).toBeLessThan(3 * 2 ** 20) // compiled code and the history of losses
  }
  model.dispose()
})
