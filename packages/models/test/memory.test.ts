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
test(`${full ? 10_000 : 1000} training steps do not grow after the first two hundred`, async () => {
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
  const seen: Record<'tensors' | 'buffers' | 'native' | 'cached' | 'heap' | 'resident', number>[] = []
  const look = (): void => {
    collect()
    const { tensors, native } = device.memory()
    const { buffers, bytesInUse, bytesCached } = native as NonNullable<typeof native>
    const { heapUsed, rss } = process.memoryUsage()
    seen.push({ tensors, buffers, native: bytesInUse, cached: bytesCached, heap: heapUsed, resident: rss })
  }
  const steps = full ? 10_000 : 1000
  const every = steps / 4
  await new Trainer({
    steps,
    learningRate: 1e-3,
    clipNorm: 1,
    progress: ({ step }) => {
      if (step === 200 || (step > 200 && step % every === 0)) look()
    },
  }).fit(model, loader)
  expect(seen.length).toBeGreaterThanOrEqual(4)
  const [first, ...later] = seen
  for (const now of later) {
    const counts = ({ tensors, buffers, native, cached }: typeof now): number[] => [
      tensors,
      buffers,
      native,
      cached,
    ]
    expect(counts(now)).toEqual(counts(first))
    expect(now.resident - first.resident).toBeLessThan(24 * 2 ** 20) // as the system counts, the heap's spare pages too
    expect(now.heap - first.heap).toBeLessThan(3 * 2 ** 20) // compiled code and the history of losses
  }
  model.dispose()
})
