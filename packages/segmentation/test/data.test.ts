import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { tf, VqConfigError, VqFormatError } from '@vq/core'
import { ArrayDataset, type Dataset } from '@vq/models/data'
import {
  augmentMasked,
  BaseDataModule,
  ImageMaskDataModule,
  OxfordPetDataModule,
  type Split,
} from '@vq/segmentation'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { grey, writeMasks, writePets } from './tiny-data.js'

const folder = mkdtempSync(join(tmpdir(), 'vq-segmentation-data-'))
const [pets, masks] = [join(folder, 'pets'), join(folder, 'masks')]
beforeAll(async () => {
  await writePets(pets, 11)
  await writeMasks(masks, 7, 'ground\nsquare\n')
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe('data modules', () => {
  test('hold out every fifth image, whose classes follow what becomes of the border', async () => {
    for (const [border, classes] of [
      ['class', ['pet', 'background', 'border']],
      ['ignore', ['pet', 'background']],
      ['pet', ['pet', 'background']],
    ] as const) {
      const data = new OxfordPetDataModule({ dataPath: pets, imageSize: 36, border })
      await data.setup()
      expect(data.classes).toEqual(classes)
      const lengths = (['train', 'val', 'test'] as const).map(split => data.dataset(split).length)
      expect(lengths).toEqual([9, 2, 2])
      expect(data.dataset('val').ids).toEqual(['square_4', 'square_9'])
      const { extras, values } = await data.trainDataloader().next()
      const seen = new Set(extras!.mask!.values)
      expect([...seen].sort()).toEqual(
        border === 'ignore' ? [-1, 0, 1] : border === 'pet' ? [0, 1] : [0, 1, 2],
      )
      // The square is bright and pet, at the same places in image and mask.
      const mask = extras!.mask!.values
      const redOf = (c: number): number[] =>
        [...mask.keys()].filter(i => mask[i] === c).map(i => values[3 * i]!)
      expect(Math.min(...redOf(0))).toBeGreaterThan(border === 'pet' ? 0 : 0.6)
      expect(Math.max(...redOf(1))).toBeLessThan(0.6)
    }
    expect(tf.getBackend()).toBe('vq-cpu')
  })

  test('read a folder of images and masks, with names from classes.txt or given', async () => {
    for (const classes of [undefined, ['a', 'b']]) {
      const data = new ImageMaskDataModule({ dataPath: masks, imageSize: 32, classes, batchSize: 2 })
      await data.setup()
      expect(data.classes).toEqual(classes ?? ['ground', 'square'])
      const batch = await data.valDataloader().next()
      expect(batch.shape).toEqual([1, 32, 32, 3])
      expect([...new Set(batch.extras!.mask!.values)].sort()).toEqual([-1, 0, 1])
    }
  })

  test('find damaged files when they are opened, and leave them out where asked', async () => {
    const bad = join(folder, 'bad')
    await writePets(bad, 12)
    writeFileSync(join(bad, 'images/square_3.jpg'), 'no image')
    await grey(join(bad, 'trimaps/square_5.png'), new Uint8Array(20 * 20).fill(1), [20, 20])
    const strict = new OxfordPetDataModule({ dataPath: bad, imageSize: 32 })
    const failure = await strict.setup().catch(error => error)
    expect(failure).toBeInstanceOf(VqFormatError)
    expect(failure.message).toMatch(/square_3.*so are 1 more.*--damaged skip/s)
    const lenient = new OxfordPetDataModule({ dataPath: bad, imageSize: 32, damaged: 'skip' })
    await lenient.setup()
    expect(lenient.skipped.map(s => s.file)).toEqual(['images/square_3.jpg', 'images/square_5.jpg'])
    expect(lenient.dataset('train').length + lenient.dataset('val').length).toBe(10)
  })

  test('say what is missing or too little', async () => {
    await expect(new OxfordPetDataModule({ dataPath: join(folder, 'none') }).setup()).rejects.toThrow(
      /--download/,
    )
    const few = join(folder, 'few')
    await writePets(few, 4)
    await expect(new OxfordPetDataModule({ dataPath: few }).setup()).rejects.toThrow(/at least five images/)
    await expect(
      new ImageMaskDataModule({ dataPath: masks, classes: ['one'], imageSize: 32 }).setup(),
    ).rejects.toThrow(/values 255, 0|two classes/)
    const unnamed = join(folder, 'unnamed')
    await writeMasks(unnamed, 5, '')
    await expect(new ImageMaskDataModule({ dataPath: unnamed }).setup()).rejects.toThrow(/classes\.txt/)
    expect(() => new OxfordPetDataModule({ dataPath: pets, imageSize: 3 })).toThrow(VqConfigError)
    expect(() => new OxfordPetDataModule({ dataPath: pets }).dataset('train')).toThrow(/setup\(\)/)
  })

  test("a user's own needs three functions", async () => {
    class Own extends BaseDataModule {
      readonly classes = ['a', 'b']
      readonly batchSize = 2
      async setup(): Promise<void> {}
      dataset(_split: Split): Dataset {
        const mask = { values: new Int32Array(3 * 64), shape: [3, 8, 8] }
        return new ArrayDataset(new Float32Array(3 * 64 * 3), [8, 8, 3], { mask })
      }
    }
    const batch = await new Own().trainDataloader().next()
    expect([batch.shape, batch.extras!.mask!.shape]).toEqual([
      [2, 8, 8, 3],
      [2, 8, 8],
    ])
  })
})

/** Red says the row and green the column of a pixel, and so does the mask. */
function coordinates(edge: number): Dataset {
  const image = new Float32Array(edge * edge * 3)
  const mask = Int32Array.from({ length: edge * edge }, (_, i) => i)
  for (let i = 0; i < edge * edge; i++)
    image.set([Math.floor(i / edge) / edge, (i % edge) / edge, 0.5], 3 * i)
  return new ArrayDataset(image, [edge, edge, 3], { mask: { values: mask, shape: [1, edge, edge] } })
}

describe('augmentMasked', () => {
  test('moves image and mask alike, whatever the window', async () => {
    const edge = 16
    const source = coordinates(edge)
    await fc.assert(
      fc.asyncProperty(
        fc.nat(1000),
        fc.double({ min: 0.3, max: 1, noNaN: true }),
        fc.integer({ min: 0, max: 45 }),
        async (seed, minScale, rotation) => {
          const data = augmentMasked(source, { copies: 3, minScale, rotation, color: 0, seed })
          const at = Int32Array.of(0, 1, 2)
          const [image, { mask }] = [await data.batch(at), (await data.extras!(at)) as never as { mask: { values: Int32Array } }] // biome-ignore format: one line
          for (const [i, label] of mask.values.entries()) {
            if (label === -1) continue
            // The image is read between pixels, the mask at the nearest one: half a pixel apart at most.
            expect(Math.abs(image[3 * i]! * edge - Math.floor(label / edge))).toBeLessThan(0.51)
            expect(Math.abs(image[3 * i + 1]! * edge - (label % edge))).toBeLessThan(0.51)
          }
        },
      ),
      { numRuns: 25 },
    )
  })

  test('depends on seed and number alone, and keeps the first version where asked', async () => {
    const source = coordinates(12)
    const options = { copies: 4, keepFirst: true, seed: 5 }
    const data = augmentMasked(source, options)
    const one = await data.batch(Int32Array.of(2))
    const [, , third] = [0, 1, 2].map(n => n)
    const many = await augmentMasked(source, options).batch(Int32Array.of(0, third!, 3))
    expect(many.subarray(one.length, 2 * one.length)).toEqual(one)
    expect(many.subarray(0, one.length)).toEqual(await source.batch(Int32Array.of(0)))
    const other = await augmentMasked(source, { ...options, seed: 6 }).batch(Int32Array.of(2))
    expect(other).not.toEqual(one)
    expect(Math.min(...one)).toBeGreaterThanOrEqual(0)
    expect(Math.max(...one)).toBeLessThanOrEqual(1)
  })

  test.each([
    [17, 9],
    [9, 17],
    [13, 13],
    [33, 8],
    [1, 5],
  ])('moves image and mask alike from %d pixels to %d', async (edge, size) => {
    const data = augmentMasked(coordinates(edge), { copies: 40, size, color: 0, keepFirst: true, seed: 2 })
    const at = Int32Array.from({ length: 40 }, (_, i) => i)
    const image = await data.batch(at)
    const { mask } = (await data.extras!(at)) as never as { mask: { values: Int32Array; shape: number[] } }
    expect([data.shape, mask.shape]).toEqual([
      [size, size, 3],
      [40, size, size],
    ])
    let counted = 0
    for (const [i, label] of mask.values.entries()) {
      // Where no pixel of the image lies, there is neither colour nor class.
      if (label === -1) expect([...image.subarray(3 * i, 3 * i + 3)]).toEqual([0, 0, 0])
      else {
        counted++
        expect(Math.abs(image[3 * i]! * edge - Math.floor(label / edge))).toBeLessThan(0.5 + 1e-3)
        expect(Math.abs(image[3 * i + 1]! * edge - (label % edge))).toBeLessThan(0.5 + 1e-3)
      }
    }
    expect(counted).toBeGreaterThan(0.8 * mask.values.length)
  })

  test('mirrors in half of the versions', async () => {
    const source = coordinates(8)
    const options = { copies: 200, minScale: 1, maxAspect: 1, rotation: 0, color: 0 }
    const data = augmentMasked(source, options)
    const { mask } = (await data.extras!(Int32Array.from({ length: 200 }, (_, i) => i))) as never as {
      mask: { values: Int32Array }
    }
    const mirrored = Array.from({ length: 200 }, (_, n) => mask.values[n * 64]).filter(v => v === 7).length
    expect(mirrored).toBeGreaterThan(70)
    expect(mirrored).toBeLessThan(130)
  })

  test('refuses what it cannot read', () => {
    const plain = new ArrayDataset(new Float32Array(48), [4, 4, 3])
    expect(() => augmentMasked(plain)).toThrow(/masks/)
    expect(() => augmentMasked(coordinates(4), { minScale: 0 })).toThrow(VqConfigError)
    expect(() => augmentMasked(coordinates(4), { color: 1 })).toThrow(VqConfigError)
  })
})
