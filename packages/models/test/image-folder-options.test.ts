import { mkdirSync, truncateSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { VqAbortError, VqConfigError, VqFormatError } from '@vq/core'
import { imageFolder, mapBounded, splitDataset } from '@vq/models/data'
import fc from 'fast-check'
import sharp from 'sharp'
import { beforeAll, describe, expect, it } from 'vitest'
import { ByteCache } from '../src/data/files/byte-cache.js'
import { Gate } from '../src/data/files/gate.js'
import { keepsContract, temporaryFolder, upTo } from './data-fixture.js'

const folder = temporaryFolder()
const place = (...parts: string[]): string => {
  const path = join(folder, ...parts)
  mkdirSync(dirname(path), { recursive: true })
  return path
}
const image = (i: number): ReturnType<typeof sharp> =>
  sharp({ create: { width: 20, height: 20, channels: 3, background: { r: 5 * i, g: 0, b: 0 } } })

beforeAll(async () => {
  for (let i = 0; i < 40; i++)
    await image(i)
      .png()
      .toFile(place('all', i % 2 ? 'odd' : 'even', `${i}.png`))
  for (const name of ['a', 'b', 'c'])
    await image(3)
      .png()
      .toFile(place('said', `${name}.png`))
  writeFileSync(place('said/a.txt'), ' a light red square \n')
  writeFileSync(place('said/c.txt'), 'ein rotes Viereck – groß')
  writeFileSync(place('said.csv'), 'file,caption\nb.png,"one, two"\n./a.png,first\nother.png,nothing\n')
  await image(9).png().toFile(place('damaged/a.png'))
  await image(9).png().toFile(place('damaged/b.png'))
  truncateSync(place('damaged/b.png'), 60)
})

describe('imageFolder', () => {
  const open = (options = {}) => imageFolder(join(folder, 'all'), { size: 8, ...options })
  keepsContract('imageFolder', { make: () => open(), range: [0, 1] })
  keepsContract('imageFolder without a cache', { make: () => open({ cacheBytes: 0 }), range: [0, 1] })

  it('gives the folder of each image as its class, also through a split', async () => {
    const data = await open()
    expect(data.classes).toEqual(['even', 'odd'])
    const { heldOut } = splitDataset(data, { heldOut: 10 })
    const extras = await heldOut.extras?.(upTo(10))
    expect([...(extras?.label.values ?? [])]).toEqual(heldOut.labels?.map(name => data.classes.indexOf(name)))
    // One folder is no class.
    expect((await imageFolder(join(folder, 'all/odd'))).extras).toBeUndefined()
  })

  it('decodes no more at once than it was told, over all batches, in the order of the numbers', async () => {
    const [data, cached] = [await open({ cacheBytes: 0, decodesAtOnce: 3 }), await open()]
    const order = upTo(40).reverse()
    let most = 0
    let sampling = true
    const sample = (): void => {
      const { queue, process } = sharp.counters()
      // Not their sum: a decode that goes from one to the other in between would count twice.
      most = Math.max(most, queue, process)
      if (sampling) setImmediate(sample)
    }
    sample()
    const [first, second] = await Promise.all([data.batch(order), data.batch(order)])
    sampling = false
    expect(most).toBeGreaterThan(1)
    expect(most).toBeLessThanOrEqual(3)
    const want = [...(await cached.batch(order))]
    expect([...first]).toEqual(want)
    expect([...second]).toEqual(want)
  })

  it('takes captions from text files or a table, and skips images without one', async () => {
    const beside = await imageFolder(join(folder, 'said'), { captions: 'txt' })
    expect(beside.captions).toEqual(['a light red square', 'ein rotes Viereck – groß'])
    expect(beside.skipped).toContainEqual({ file: 'b.png', reason: 'no caption' })
    const table = await imageFolder(join(folder, 'said'), { captions: join(folder, 'said.csv') })
    expect([table.ids, table.captions]).toEqual([
      ['a.png', 'b.png'],
      ['first', 'one, two'],
    ])
  })

  it('refuses tables without the columns, and with a file twice', async () => {
    const bad = join(folder, 'bad.csv')
    writeFileSync(bad, 'name,caption\na.png,x\n')
    await expect(imageFolder(join(folder, 'said'), { captions: bad })).rejects.toThrow(/a column file/)
    writeFileSync(bad, 'file,caption\na.png,x\na.png,y\n')
    await expect(imageFolder(join(folder, 'said'), { captions: bad })).rejects.toThrow(VqFormatError)
    const none = join(folder, 'none.csv')
    await expect(imageFolder(join(folder, 'said'), { captions: none })).rejects.toThrow(VqConfigError)
  })

  it('names a damaged file: in the list, or at once', async () => {
    expect((await imageFolder(join(folder, 'damaged'))).skipped.map(s => s.file)).toEqual(['b.png'])
    await expect(imageFolder(join(folder, 'damaged'), { damaged: 'throw' })).rejects.toThrow(/b\.png/)
    const signal = AbortSignal.abort()
    await expect(open({ signal })).rejects.toThrow(VqAbortError)
  })
})

describe('bounded work', () => {
  const later = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

  it('runs at most so many at once, keeps the order, and gives every result', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.nat(3), { maxLength: 30 }),
        fc.integer({ min: 1, max: 6 }),
        async (turns, limit) => {
          let [running, most] = [0, 0]
          const results = await mapBounded(turns, limit, async (wait, i) => {
            most = Math.max(most, ++running)
            for (let t = 0; t <= wait; t++) await later()
            running--
            return `${i}:${wait}`
          })
          expect(results).toEqual(turns.map((wait, i) => `${i}:${wait}`))
          expect(most).toBe(Math.min(limit, turns.length))
        },
      ),
      { numRuns: 40 },
    )
  })

  it('begins nothing after a failure, waits for what runs, and throws that of the first item', async () => {
    const [begun, ended]: number[][] = [[], []]
    const outcome = mapBounded(upTo(20), 3, async i => {
      begun.push(i)
      for (let t = 0; t < (i === 1 ? 3 : 1); t++) await later()
      ended.push(i)
      if (i === 1 || i === 2) throw new Error(`item ${i}`)
    })
    await expect(outcome).rejects.toThrow('item 1')
    expect(begun.length).toBeLessThan(20)
    expect(ended.length).toBe(begun.length)
    await expect(mapBounded([1], 1, later, AbortSignal.abort())).rejects.toThrow(/abort/)
  })

  it('a gate lets callers through one after another, also behind a failure', async () => {
    const gate = new Gate(2)
    const order: number[] = []
    let [running, most] = [0, 0]
    const outcomes = await Promise.allSettled(
      Array.from(upTo(9), i =>
        gate.run(async () => {
          order.push(i)
          most = Math.max(most, ++running)
          await later()
          running--
          if (i % 3 === 0) throw new Error('no')
        }),
      ),
    )
    expect(order).toEqual([...upTo(9)])
    expect(most).toBe(2)
    expect(outcomes.filter(o => o.status === 'rejected').length).toBe(3)
  })

  it('a cache keeps no more than its bound', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 50 })), fc.nat(200), (sizes, limit) => {
        const cache = new ByteCache(limit)
        for (const [i, size] of sizes.entries()) cache.add(i, new Uint8Array(size).fill(i))
        const kept = sizes.map((_, i) => cache.get(i)).filter(bytes => bytes !== undefined)
        expect(kept.reduce((sum, bytes) => sum + bytes.length, 0)).toBeLessThanOrEqual(limit)
        for (const [i, size] of sizes.entries())
          expect([undefined, String(new Uint8Array(size).fill(i))]).toContain(cache.get(i)?.toString())
      }),
    )
  })
})
