import { VqConfigError } from '@vq/core'
import { ArrayDataset, type Batch, DataLoader } from '@vq/models/data'
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
})
