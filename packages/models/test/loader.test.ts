import { VqConfigError, VqShapeError } from '@vq/core'
import { ArrayDataset, type Batch, DataLoader, randomCrops, splitDataset } from '@vq/models/data'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

const dataset = (n: number): ArrayDataset =>
  new ArrayDataset(
    Float32Array.from({ length: n * 2 }, (_, i) => i),
    [2],
  )
const epoch = async (loader: DataLoader): Promise<Batch[]> => {
  const batches: Batch[] = []
  for await (const batch of loader) batches.push(batch)
  return batches
}

describe('DataLoader', () => {
  it('gives every sample once per epoch, with its own values, in another order each epoch', async () => {
    const loader = new DataLoader(dataset(50), { batchSize: 8, dropLast: false, seed: 3 })
    const orders = []
    for (const e of [0, 1]) {
      const batches = await epoch(loader)
      expect(batches.map(b => b.indices.length)).toEqual([8, 8, 8, 8, 8, 8, 2])
      expect(batches.map(b => [b.epoch, b.last])).toEqual(batches.map((_, i) => [e, i === 6]))
      for (const { values, shape, indices } of batches) {
        expect(shape).toEqual([indices.length, 2])
        expect([...values]).toEqual([...indices].flatMap(i => [2 * i, 2 * i + 1]))
      }
      const order = batches.flatMap(b => [...b.indices])
      expect(order.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 50 }, (_, i) => i))
      orders.push(order)
    }
    expect(orders[0]).not.toEqual(orders[1])
  })

  it('goes in order without shuffling, and leaves out a smaller last batch on request', async () => {
    const plain = new DataLoader(dataset(5), { batchSize: 2, shuffle: false })
    expect((await epoch(plain)).map(b => [...b.indices])).toEqual([[0, 1], [2, 3], [4]])
    const whole = new DataLoader(dataset(5), { batchSize: 2, shuffle: false, dropLast: true })
    expect([(await epoch(whole)).length, whole.stepsPerEpoch]).toEqual([2, 2])
  })

  it('goes on from a state exactly, wherever it was taken', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 20 }),
        fc.integer({ min: 1, max: 7 }),
        fc.boolean(),
        fc.nat(30),
        async (n, batchSize, dropLast, steps) => {
          if (dropLast && n < batchSize) return
          const make = (): DataLoader => new DataLoader(dataset(n), { batchSize, dropLast, seed: 5 })
          const [loader, copy] = [make(), make()]
          for (let i = 0; i < steps; i++) await loader.next()
          copy.state = JSON.parse(JSON.stringify(loader.state))
          expect(await copy.peek()).toEqual(await loader.peek())
          for (let i = 0; i < 5; i++) expect(await copy.next()).toEqual(await loader.next())
        },
      ),
    )
  })

  it('refuses too little data, and states of other loaders', () => {
    expect(() => new DataLoader(dataset(3), { batchSize: 4 })).toThrow(VqConfigError)
    const { state } = new DataLoader(dataset(8), { batchSize: 4 })
    const other = new DataLoader(dataset(8), { batchSize: 4, seed: 1 })
    expect(() => {
      other.state = state
    }).toThrow(/a loader with seed 1/)
  })

  it('hands a data set’s failure to the call that wants the batch', async () => {
    const failing = {
      length: 4,
      shape: [1],
      batch: (indices: Int32Array) => {
        if (indices.includes(2)) throw new Error('bad disk')
        return new Float32Array(indices.length)
      },
    }
    const loader = new DataLoader(failing, { batchSize: 2, shuffle: false })
    expect((await loader.next()).indices).toEqual(Int32Array.of(0, 1))
    await expect(loader.next()).rejects.toThrow('bad disk')
  })

  it('gives the same batches and states whatever it fetches ahead, and however calls overlap', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 20 }),
        fc.integer({ min: 1, max: 7 }),
        fc.integer({ min: 0, max: 9 }),
        async (n, batchSize, prefetch) => {
          const make = (prefetch: number): DataLoader =>
            new DataLoader(dataset(n), { batchSize, dropLast: false, seed: 5, prefetch })
          const [plain, ahead, at] = [make(0), make(prefetch), make(prefetch)]
          const together = await Promise.all(Array.from({ length: 8 }, () => at.next()))
          for (const batch of together) {
            expect(await plain.next()).toEqual(batch)
            expect(await ahead.next()).toEqual(batch)
            expect(ahead.state).toEqual(plain.state)
          }
          expect(at.state).toEqual(plain.state)
        },
      ),
      { numRuns: 40 },
    )
  })

  it('fetches as many batches ahead as it was told, and no more than are wanted', async () => {
    let asked = 0
    const slow = {
      length: 40,
      shape: [1],
      batch: async (indices: Int32Array) => {
        asked++
        await new Promise(resolve => setImmediate(resolve))
        return new Float32Array(indices.length)
      },
    }
    const loader = new DataLoader(slow, { batchSize: 4, prefetch: 3 })
    await loader.next()
    expect(asked).toBe(4)
    await loader.next(0)
    expect(asked).toBe(4)
    await loader.next(2)
    expect(asked).toBe(5)
    const one = new DataLoader(slow, { batchSize: 4, prefetch: 3 })
    asked = 0
    for await (const { epoch } of one) expect(epoch).toBe(0)
    expect([asked, one.state.epoch]).toEqual([10, 1])
  })

  it('hands out what belongs to the samples beside their values', async () => {
    const labels = { values: Int32Array.from({ length: 9 }, (_, i) => 10 * i), shape: [9] }
    const masks = { values: Float32Array.from({ length: 18 }, (_, i) => i / 2), shape: [9, 2, 1] }
    const tokens = Int32Array.from({ length: 27 }, (_, i) => i)
    const whole = new ArrayDataset(tokens, [3], { labels, masks })
    expect(whole.dtype).toBe('int32')
    const { train } = splitDataset(whole, { heldOut: 2 })
    for await (const { values, indices, extras, shape } of new DataLoader(train, { batchSize: 3 })) {
      expect(values).toBeInstanceOf(Int32Array)
      expect(shape).toEqual([indices.length, 3])
      const own = [...values].filter((_, i) => i % 3 === 0).map(v => v / 3)
      expect(extras?.labels).toEqual({ values: Int32Array.from(own, i => 10 * i), shape: [3] })
      expect(extras?.masks).toEqual({
        values: Float32Array.from(own.flatMap(i => [i, i + 0.5])),
        shape: [3, 2, 1],
      })
    }
    expect('extras' in dataset(3)).toBe(false)
    expect('extras' in (await new DataLoader(dataset(3), { batchSize: 3 }).next())).toBe(false)
    expect(() => new ArrayDataset(tokens, [3], { labels: { ...labels, shape: [3, 3] } })).toThrow(
      VqShapeError,
    )
    const torn = {
      ...whole,
      length: 9,
      shape: [3],
      batch: whole.batch.bind(whole),
      extras: () => ({ labels }),
    }
    await expect(new DataLoader(torn, { batchSize: 3 }).next()).rejects.toThrow(/'labels'.*\[3, …\]/)
    expect(() => whole.extras?.(Int32Array.of(9))).toThrow(VqConfigError)
  })

  it('passes extras through random crops, but for maps that would have to be cropped', async () => {
    const images = new ArrayDataset(new Float32Array(2 * 4 * 4), [4, 4, 1], {
      labels: { values: Int32Array.of(7, 8), shape: [2] },
    })
    const crops = randomCrops(images, { size: 2, copies: 2 })
    expect(await crops.extras?.(Int32Array.of(3, 0))).toEqual({
      labels: { values: Int32Array.of(8, 7), shape: [2] },
    })
    const masked = new ArrayDataset(new Float32Array(32), [4, 4, 1], {
      mask: { values: new Int32Array(32), shape: [2, 4, 4] },
    })
    const wrong = randomCrops(masked, { size: 2, copies: 1 })
    await expect(wrong.extras?.(Int32Array.of(0))).rejects.toThrow(VqConfigError)
  })

  it('tries a batch again that failed', async () => {
    let broken = true
    const flaky = {
      length: 4,
      shape: [1],
      batch: (indices: Int32Array) => {
        if (broken && indices.includes(2)) throw new Error('bad disk')
        return Float32Array.from(indices)
      },
    }
    const loader = new DataLoader(flaky, { batchSize: 2, shuffle: false })
    await loader.next()
    const { state } = loader
    await expect(loader.next()).rejects.toThrow('bad disk')
    expect(loader.state).toEqual(state)
    broken = false
    expect([...(await loader.next()).values]).toEqual([2, 3])
  })
})
