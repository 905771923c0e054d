import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { VqConfigError, VqFormatError } from '@vq/core'
import { ArrayDataset, augment, imageMaskFolder, oxfordPet, trimapMeaning } from '@vq/models/data'
import sharp from 'sharp'
import { beforeAll, describe, expect, it, test } from 'vitest'
import { coverNearest } from '../src/data/masks/decode-mask.js'
import { keepsContract, realData, temporaryFolder, upTo } from './data-fixture.js'

const folder = temporaryFolder()
const place = (...parts: string[]): string => {
  const path = join(folder, ...parts)
  mkdirSync(dirname(path), { recursive: true })
  return path
}

// Trimaps of three vertical bands, pet, border, background, with the image in the colours of the bands.
const colors: Record<number, number[]> = { 1: [255, 0, 0], 3: [0, 255, 0], 2: [0, 0, 255] }
const band = (x: number, width: number): number => (x < width / 2 ? 1 : x < (3 * width) / 4 ? 3 : 2)
async function drawPair(image: string, mask: string, width: number, height: number): Promise<void> {
  const values = Buffer.from(Array.from({ length: width * height }, (_, i) => band(i % width, width)))
  const rgb = Buffer.from([...values].flatMap(v => colors[v]))
  await sharp(rgb, { raw: { width, height, channels: 3 } })
    .jpeg({ quality: 100, chromaSubsampling: '4:4:4' })
    .toFile(image)
  await sharp(values, { raw: { width, height, channels: 1 } })
    .toColourspace('b-w')
    .png()
    .toFile(mask)
}

const names = ['Abyssinian_1', 'pug_12', 'american_bulldog_3']
beforeAll(async () => {
  for (const [i, name] of names.entries()) {
    const size: [number, number] = [
      [64, 32],
      [32, 48],
      [40, 40],
    ][i] as [number, number]
    const mask = place('original/annotations/trimaps', `${name}.png`)
    await drawPair(place('original/images', `${name}.jpg`), mask, ...size)
    await drawPair(place('indexed/images', `${name}.jpg`), place('indexed/trimaps', `${name}.png`), ...size)
  }
  const line = (name: string, i: number): string => `${name} ${i + 1} 1 ${i + 1}`
  const comment = '#Image CLASS-ID SPECIES BREED ID'
  writeFileSync(place('original/annotations/list.txt'), [comment, ...names.map(line), ''].join('\n'))
  writeFileSync(place('original/annotations/trainval.txt'), names.slice(0, 2).map(line).join('\n'))
  writeFileSync(
    place('indexed/index.csv'),
    `image_id,breed,faithful\n${names.map((name, i) => `${name},breed ${i},${i === 2 ? 0 : 1}`).join('\n')}\n`,
  )
})

describe('oxfordPet', () => {
  const original = (options = {}) => oxfordPet(join(folder, 'original'), { size: 16, ...options })
  keepsContract('oxfordPet', { make: () => original(), range: [0, 1] })

  it('reads the original layout with its splits and breeds', async () => {
    const all = await original()
    expect(all.ids).toEqual(names)
    expect(all.labels).toEqual(['Abyssinian', 'pug', 'american_bulldog'])
    expect(all.classes).toEqual(['Abyssinian', 'american_bulldog', 'pug'])
    const { label } = await all.extras(upTo(3))
    expect([...label.values]).toEqual([0, 2, 1])
    expect((await original({ split: 'trainval' })).length).toBe(2)
    await expect(original({ split: 'test' })).rejects.toThrow(/test.txt/)
  })

  it('reads an index, of it the faithful ones unless asked for all', async () => {
    const indexed = (options = {}) => oxfordPet(join(folder, 'indexed'), { size: 16, ...options })
    expect((await indexed()).labels).toEqual(['breed 0', 'breed 1'])
    expect((await indexed({ faithful: false })).length).toBe(3)
    await expect(indexed({ split: 'test' })).rejects.toThrow(/splitDataset/)
  })

  it('scales and crops image and mask alike', async () => {
    const data = await original({ size: 16 })
    const image = await data.batch(upTo(3))
    const { mask } = await data.extras(upTo(3))
    expect(mask.shape).toEqual([3, 16, 16])
    let agree = 0
    for (let p = 0; p < 3 * 256; p++) {
      const rgb = [...image.subarray(3 * p, 3 * p + 3)]
      // Red pet 0, blue background 1, green border 2.
      const seen = [0, 2, 1][rgb.indexOf(Math.max(...rgb))]
      if (seen === mask.values[p]) agree++
    }
    // Pixels on an edge between bands may round either way.
    expect(agree).toBeGreaterThan(0.95 * 3 * 256)
  })

  it.each([
    ['class', [0, 2, 1], ['pet', 'background', 'border']],
    ['ignore', [0, -1, 1], ['pet', 'background']],
    ['pet', [0, 0, 1], ['pet', 'background']],
    ['background', [0, 1, 1], ['pet', 'background']],
  ] as const)("with border '%s' bands become %j", async (border, want, classes) => {
    const data = await original({ border, size: 40 })
    expect(data.maskClasses).toEqual(classes)
    const { mask } = await data.extras(Int32Array.of(2))
    expect([mask.values[0], mask.values[25], mask.values[39]]).toEqual(want)
  })

  it('names what is damaged, or skips it and says why', async () => {
    const path = place('damaged/images/a.jpg')
    const at = (name: string): string => place('damaged', name)
    for (const name of ['a', 'b', 'c', 'd'])
      await drawPair(at(`images/${name}.jpg`), at(`trimaps/${name}.png`), 16, 16)
    writeFileSync(path, 'no picture')
    await drawPair(at('images/b.jpg'), at('trimaps/other.png'), 18, 16)
    const seven = Buffer.alloc(256, 7)
    await sharp(seven, { raw: { width: 16, height: 16, channels: 1 } })
      .toColourspace('b-w')
      .png()
      .toFile(at('trimaps/c.png'))
    writeFileSync(at('index.csv'), 'image_id,breed\na,x\nb,x\nc,x\nd,x\n')
    const root = join(folder, 'damaged')
    const lazy = await oxfordPet(root, { size: 8 })
    await expect(lazy.batch(Int32Array.of(0))).rejects.toThrow(/images\/a.jpg/)
    await expect(lazy.extras(Int32Array.of(1))).rejects.toThrow(
      /18×16 as its image is in .*b\.png, received 16×16/,
    )
    await expect(lazy.extras(Int32Array.of(2))).rejects.toThrow(VqFormatError)
    const kept = await oxfordPet(root, { size: 8, damaged: 'skip' })
    expect(kept.ids).toEqual(['d'])
    expect(kept.skipped.map(s => s.file)).toEqual(['images/a.jpg', 'images/b.jpg', 'images/c.jpg'])
    expect(kept.skipped[2].reason).toMatch(/^7 instead of values 1, 2, 3 in .*c\.png$/)
  })

  it('reads what a file holds whatever its name, passes over what a Mac left, and names files that are not there', async () => {
    const at = (name: string): string => place('archives', name)
    for (const name of names)
      await drawPair(at(`images/${name}.jpg`), at(`annotations/trimaps/${name}.png`), 40, 30)
    // As some of the original archive: a GIF and a PNG with transparency, both named .jpg.
    const drawn = sharp(at(`images/${names[2]}.jpg`))
    const before = await drawn.clone().raw().toBuffer()
    writeFileSync(at(`images/${names[0]}.jpg`), await drawn.clone().gif().toBuffer())
    writeFileSync(at(`images/${names[1]}.jpg`), await drawn.clone().ensureAlpha().png().toBuffer())
    // JPEGs with bytes after their end, which decoders warn of, are whole.
    const jpeg = readFileSync(at(`images/${names[2]}.jpg`))
    writeFileSync(
      at(`images/${names[2]}.jpg`),
      Buffer.concat([jpeg.subarray(0, -2), Buffer.alloc(200), jpeg.subarray(-2)]),
    )
    for (const name of [`images/._${names[0]}.jpg`, `annotations/trimaps/._${names[0]}.png`, 'images/a.mat'])
      writeFileSync(at(name), Buffer.from([0, 5, 22, 7]))
    const lines = [...names, 'lost_1', 'lost_2'].map((name, i) => `${name} ${i + 1} 1 1`)
    await drawPair(at('images/lost_1.jpg'), at('annotations/trimaps/other.png'), 40, 30)
    await drawPair(at('images/other.jpg'), at('annotations/trimaps/lost_2.png'), 40, 30)
    writeFileSync(at('annotations/list.txt'), lines.join('\n'))
    const data = await oxfordPet(join(folder, 'archives'), { size: 30, damaged: 'skip' })
    expect(data.ids).toEqual(names)
    expect(data.skipped).toEqual([
      {
        file: 'images/lost_1.jpg',
        reason:
          'no such file instead of a grey mask of 8 bits that can be read in annotations/trimaps/lost_1.png',
      },
      {
        file: 'images/lost_2.jpg',
        reason: 'no such file instead of an image that can be used in images/lost_2.jpg',
      },
    ])
    const values = await data.batch(upTo(3))
    for (const n of [0, 1, 2])
      for (let x = 0; x < 30; x += 7)
        for (let c = 0; c < 3; c++)
          expect(
            Math.abs(values[((n * 30 + 15) * 30 + x) * 3 + c] - before[(15 * 40 + x + 5) * 3 + c] / 255),
          ).toBeLessThan(0.05)
  })

  it('says what is missing, and takes no paths out of its lists', async () => {
    await expect(oxfordPet(join(folder, 'nowhere'))).rejects.toThrow(/downloadDataset\('oxford-pet'/)
    writeFileSync(place('evil/index.csv'), 'image_id,breed\n../../secret,x\n')
    await expect(oxfordPet(join(folder, 'evil'))).rejects.toThrow(VqFormatError)
    writeFileSync(place('columns/index.csv'), 'name,breed\na,x\n')
    await expect(oxfordPet(join(folder, 'columns'))).rejects.toThrow(VqConfigError)
    expect(() => trimapMeaning('maybe' as 'pet')).toThrow(VqConfigError)
  })

  test.skipIf(!existsSync(join(realData, 'pets')))(
    'reads the real pets: 305 faithful ones, and masks whose share of pet is the recorded one (skipped where ../shared/data is absent)',
    async () => {
      const data = await oxfordPet(join(realData, 'pets'), { size: 96 })
      expect([data.length, data.classes.length]).toEqual([305, 37])
      const { mask } = await data.extras(Int32Array.of(0, 100, 200))
      for (const value of mask.values) expect(value >= 0 && value <= 2).toBe(true)
      const pet = mask.values.filter(v => v === 0).length / mask.values.length
      expect(pet).toBeGreaterThan(0.1)
      expect(pet).toBeLessThan(0.7)
    },
  )
})

describe('coverNearest', () => {
  it('takes the pixels whose centres are nearest, as rounding says, and all of a square', () => {
    expect([...coverNearest(4, 4, 4)[0]]).toEqual([0, 1, 2, 3])
    expect([...coverNearest(4, 2, 2)[0]]).toEqual([1, 2])
    expect([...coverNearest(4, 2, 2)[1]]).toEqual([0, 1])
    expect([...coverNearest(8, 8, 4)[0]]).toEqual([1, 3, 5, 7])
    expect([...coverNearest(2, 2, 4)[0]]).toEqual([0, 0, 1, 1])
  })
})

describe('imageMaskFolder', () => {
  it('pairs images with masks by name, whose values are classes', async () => {
    await drawPair(place('pairs/images/sub/a.jpg'), place('pairs/masks/sub/a.png'), 16, 16)
    const data = await imageMaskFolder(join(folder, 'pairs'), {
      size: 16,
      maskClasses: ['none', 'left', 'right'],
      ignoreValue: 3,
    })
    const { mask } = await data.extras(Int32Array.of(0))
    expect([mask.values[0], mask.values[10], mask.values[15]]).toEqual([1, -1, 2])
    expect(Object.keys(await data.extras(Int32Array.of(0)))).toEqual(['mask'])
  })

  it('leaves out an image without a mask where asked, and refuses two files of one name', async () => {
    await drawPair(place('partly/images/a.jpg'), place('partly/masks/a.png'), 16, 16)
    await drawPair(place('partly/images/b.jpg'), place('partly/masks/other.png'), 16, 16)
    const options = { size: 8, maskClasses: ['a', 'b', 'c'], ignoreValue: 3 }
    const data = await imageMaskFolder(join(folder, 'partly'), { ...options, damaged: 'skip' })
    expect([data.ids, data.skipped]).toEqual([
      ['a.jpg'],
      [{ file: 'images/b.jpg', reason: 'no mask of it in masks' }],
    ])
    await drawPair(place('partly/images/a.png'), place('partly/masks/b.png'), 16, 16)
    for (const damaged of ['throw', 'skip'] as const)
      await expect(imageMaskFolder(join(folder, 'partly'), { ...options, damaged })).rejects.toThrow(
        /images.*a\.jpg and a\.png/,
      )
  })

  it('refuses images without a mask, and masks with a palette, whose numbers would be lost', async () => {
    await drawPair(place('alone/images/a.jpg'), place('alone/masks/b.png'), 16, 16)
    const options = { size: 8, maskClasses: ['a'] }
    await expect(imageMaskFolder(join(folder, 'alone'), options)).rejects.toThrow(/a mask of images\/a.jpg/)
    await drawPair(place('palette/images/a.jpg'), place('palette/masks/other.png'), 16, 16)
    await sharp({ create: { width: 16, height: 16, channels: 3, background: '#808080' } })
      .png({ palette: true })
      .toFile(place('palette/masks/a.png'))
    const data = await imageMaskFolder(join(folder, 'palette'), options)
    await expect(data.extras(Int32Array.of(0))).rejects.toThrow(/grey mask of 8 bits.*palette/)
  })
})

describe('augment', () => {
  const size = 6
  const values = Float32Array.from({ length: 4 * size * size * 2 }, (_, i) => i + 1)
  const mask = Int32Array.from({ length: 4 * size * size }, (_, i) => 2 * i + 1)
  const source = new ArrayDataset(values, [size, size, 2], {
    mask: { values: mask, shape: [4, size, size] },
    label: { values: Int32Array.of(5, 6, 7, 8), shape: [4] },
  })
  const options = { copies: 3, padding: 2, crop: [5, 7] as const, seed: 9 }
  keepsContract('augment', { make: () => augment(source, options) })

  it('moves image and mask alike, and leaves labels alone', async () => {
    const data = augment(source, options)
    expect([data.length, data.shape]).toEqual([12, [5, 7, 2]])
    const images = await data.batch(upTo(12))
    const extras = (await data.extras?.(upTo(12))) as Record<string, { values: Int32Array; shape: number[] }>
    expect(extras.mask.shape).toEqual([12, 5, 7])
    expect([...extras.label.values]).toEqual([5, 6, 7, 8, 5, 6, 7, 8, 5, 6, 7, 8])
    let filled = 0
    for (let p = 0; p < 12 * 35; p++) {
      // The first channel of pixel q of the source is 2q + 1, and so is its mask; padding is 0 and −1.
      expect(extras.mask.values[p]).toBe(images[2 * p] === 0 ? -1 : images[2 * p])
      if (images[2 * p] !== 0) filled++
    }
    expect(filled).toBeGreaterThan(12 * 35 * 0.5)
  })

  it('mirrors about half of the images, exactly, and none without flip', async () => {
    const flat = new ArrayDataset(Float32Array.from([1, 2, 3, 4]), [2, 2, 1])
    const seen = await augment(flat, { copies: 400, seed: 1 }).batch(upTo(400))
    const kinds = Array.from({ length: 400 }, (_, i) => seen.subarray(4 * i, 4 * i + 4).join())
    const mirrored = kinds.filter(kind => kind === '2,1,4,3').length
    expect(kinds.filter(kind => kind === '1,2,3,4').length).toBe(400 - mirrored)
    expect(Math.abs(mirrored - 200)).toBeLessThan(50)
    const still = await augment(flat, { copies: 9, flip: false }).batch(upTo(9))
    expect(new Set(Array.from({ length: 9 }, (_, i) => still.subarray(4 * i, 4 * i + 4).join()))).toEqual(
      new Set(['1,2,3,4']),
    )
  })

  it('refuses crops larger than the padded image, and what are no images', () => {
    expect(() => augment(source, { crop: [7, 6] })).toThrow(VqConfigError)
    expect(() => augment(new ArrayDataset(new Float32Array(4), [2]))).toThrow(VqConfigError)
  })
})
