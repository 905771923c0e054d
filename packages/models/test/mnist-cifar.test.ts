import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import {
  Random,
  VqConfigError,
  VqError,
  VqFormatError,
  VqMemoryError,
  VqShapeError,
  VqValueError,
} from '@vq/core'
import { byteImages, cifar10, cifar100, coloredMnist, fashionMnist, mnist } from '@vq/models/data'
import fc from 'fast-check'
import { describe, expect, it, test } from 'vitest'
import { ciede2000 } from '../src/data/digits/ciede2000.js'
import { leastDifference, namedColors } from '../src/data/digits/colors.js'
import { readMaybeGzip } from '../src/data/files/places.js'
import { keepsContract, realData, temporaryFolder, upTo } from './data-fixture.js'

const folder = temporaryFolder()

const idx = (shape: number[], data: Uint8Array): Buffer => {
  const head = Buffer.alloc(4 + 4 * shape.length)
  head.writeUInt32BE(0x0800 + shape.length)
  for (const [i, size] of shape.entries()) head.writeUInt32BE(size, 4 + 4 * i)
  return Buffer.concat([head, data])
}
const random = new Random(1)
const bytes = (n: number): Uint8Array => Uint8Array.from({ length: n }, () => random.integer(256))

const pixels = bytes(12 * 5 * 4)
const digits = Uint8Array.from({ length: 12 }, (_, i) => (i * 7) % 10)
const images = join(folder, 'train-images-idx3-ubyte.gz')
const labels = join(folder, 'train-labels-idx1-ubyte')
writeFileSync(images, gzipSync(idx([12, 5, 4], pixels)))
writeFileSync(labels, idx([12], digits))

describe('mnist', () => {
  keepsContract('mnist', { make: () => mnist(folder), range: [0, 1] })

  it('gives the bytes of the files as 255ths, and the labels, gzipped or not', async () => {
    const data = await mnist(folder)
    expect([data.length, ...data.shape]).toEqual([12, 5, 4, 1])
    expect([...(await data.batch(upTo(12)))]).toEqual([...pixels].map(k => Math.fround(k / 255)))
    expect([...data.labelIds]).toEqual([...digits])
    expect(data.labels.slice(0, 3)).toEqual(['0', '7', '4'])
    const { label } = await data.extras(Int32Array.of(2, 1, 2))
    expect([label.shape, [...label.values]]).toEqual([[3], [4, 7, 4]])
  })

  it('takes two files, a limit, and the names of other classes', async () => {
    const data = await fashionMnist({ images, labels }, { limit: 2 })
    expect([data.length, ...data.labels]).toEqual([2, 'T-shirt/top', 'Sneaker'])
  })

  it('finds the files as torchvision lays them', async () => {
    const root = join(folder, 'torchvision')
    mkdirSync(join(root, 'MNIST/raw'), { recursive: true })
    writeFileSync(join(root, 'MNIST/raw/t10k-images-idx3-ubyte'), idx([1, 2, 2], bytes(4)))
    writeFileSync(join(root, 'MNIST/raw/t10k-labels-idx1-ubyte'), idx([1], Uint8Array.of(3)))
    expect((await mnist(root, { split: 'test' })).labels).toEqual(['3'])
  })

  it('says which file is missing where, and how to get it', async () => {
    await expect(mnist(folder, { split: 'test' })).rejects.toThrow(
      /t10k-images-idx3-ubyte or .*received none.*downloadDataset\('mnist', folder\)/,
    )
    await expect(mnist(join(folder, 'nowhere'))).rejects.toThrow(VqConfigError)
  })

  it.each<[string, Buffer, Buffer, new (...a: never[]) => Error]>([
    ['another magic number', idx([3], bytes(3)), idx([1], bytes(1)), VqFormatError],
    ['a byte too few', idx([1, 2, 2], bytes(3)), idx([1], Uint8Array.of(1)), VqFormatError],
    ['a byte too many', idx([1, 2, 2], bytes(5)), idx([1], Uint8Array.of(1)), VqFormatError],
    ['half a header', Buffer.from([0, 0, 8]), idx([1], Uint8Array.of(1)), VqFormatError],
    [
      'sizes whose product wraps around 32 bits',
      idx([2 ** 31, 2 ** 31, 4], bytes(0)),
      idx([1], Uint8Array.of(1)),
      VqFormatError,
    ],
    ['fewer labels than images', idx([2, 1, 1], bytes(2)), idx([1], Uint8Array.of(1)), VqFormatError],
    ['images of no pixel', idx([1, 0, 1], bytes(0)), idx([1], Uint8Array.of(1)), VqFormatError],
    ['a label over 9', idx([1, 1, 1], bytes(1)), idx([1], Uint8Array.of(10)), VqValueError],
    [
      'a cut gzip',
      gzipSync(idx([1, 1, 1], bytes(1))).subarray(0, 20),
      idx([1], Uint8Array.of(1)),
      VqFormatError,
    ],
  ])('refuses %s', async (name, a, b, type) => {
    const files = { images: join(folder, `${name} a`), labels: join(folder, `${name} b`) }
    writeFileSync(files.images, a)
    writeFileSync(files.labels, b)
    await expect(mnist(files)).rejects.toThrow(type)
  })

  it('answers any change to a file with a typed error, or with images of the sizes it names', async () => {
    const original = idx([3, 2, 2], bytes(12))
    const files = { images: join(folder, 'fuzzed images'), labels: join(folder, 'fuzzed labels') }
    writeFileSync(files.labels, idx([3], Uint8Array.of(1, 2, 3)))
    const change = fc.tuple(fc.nat(original.length - 1), fc.integer({ min: 0, max: 255 }))
    await fc.assert(
      fc.asyncProperty(fc.array(change, { maxLength: 5 }), fc.nat(original.length), async (changes, cut) => {
        const fuzzed = Buffer.from(original)
        for (const [at, value] of changes) fuzzed[at] = value
        writeFileSync(files.images, fuzzed.subarray(0, cut === 0 ? undefined : cut))
        const result = await mnist(files).catch(error => error)
        if (result instanceof Error) expect(result).toBeInstanceOf(VqError)
        else expect(result.shape.reduce((a: number, b: number) => a * b, result.length)).toBe(12)
      }),
    )
  })

  it('unpacks no more than the bound of a gzip that grows without end', async () => {
    const bomb = join(folder, 'bomb.gz')
    writeFileSync(bomb, gzipSync(Buffer.alloc(1 << 20)))
    await expect(readMaybeGzip('mnist', bomb, 1 << 16)).rejects.toThrow(VqMemoryError)
  })

  test.skipIf(!existsSync(join(realData, 'mnist')))(
    'reads the real files: the hash of the pixels is the published one, and each class has its published share (skipped where ../shared/data is absent)',
    async () => {
      const train = await mnist(join(realData, 'mnist'))
      const testSplit = await mnist(join(realData, 'mnist'), { split: 'test' })
      expect([train.length, testSplit.length, ...train.shape]).toEqual([60000, 10000, 28, 28, 1])
      const counts = new Array<number>(10).fill(0)
      for (const id of train.labelIds) counts[id]++
      expect(counts).toEqual([5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949])
      const all = await testSplit.batch(upTo(10000))
      const back = Buffer.concat([
        Buffer.from('0000080300002710' + '0000001c0000001c', 'hex'),
        Uint8Array.from(all, v => Math.round(v * 255)),
      ])
      expect(createHash('md5').update(back).digest('hex')).toBe('2646ac647ad5339dbf082846283269ea')
    },
  )
})

const record = (labelBytes: number[], r: number, g: number, b: number): Buffer =>
  Buffer.concat([
    Buffer.from(labelBytes),
    Buffer.alloc(1024, r),
    Buffer.alloc(1024, g),
    Buffer.from(Uint8Array.from({ length: 1024 }, (_, i) => (b + i) % 256)),
  ])

describe('cifar10', () => {
  const root = join(folder, 'cifar')
  mkdirSync(join(root, 'cifar-10-batches-bin'), { recursive: true })
  for (let i = 1; i <= 5; i++)
    writeFileSync(
      join(root, `cifar-10-batches-bin/data_batch_${i}.bin`),
      Buffer.concat([record([i], i, 10, 0), record([9 - i], 100 + i, 20, 1)]),
    )
  keepsContract('cifar10', { make: () => cifar10(root), range: [0, 1] })

  it('turns planes into pixels, one file after another', async () => {
    const data = await cifar10(root)
    expect([data.length, ...data.shape]).toEqual([10, 32, 32, 3])
    expect([...data.labelIds]).toEqual([1, 8, 2, 7, 3, 6, 4, 5, 5, 4])
    expect(data.labels[1]).toBe('ship')
    const [pixel] = [await data.batch(Int32Array.of(3))].map(v =>
      [...v.subarray(3 * 700, 3 * 701)].map(x => Math.round(x * 255)),
    )
    expect(pixel).toEqual([102, 20, 701 % 256])
  })

  it('takes files by name and a limit, and reads no file beyond it', async () => {
    const file = join(root, 'cifar-10-batches-bin/data_batch_4.bin')
    expect([...(await cifar10([file, 'not there'], { limit: 2 })).labelIds]).toEqual([4, 5])
    expect((await cifar10(file)).length).toBe(2)
  })

  it('refuses parts of records, labels over 9, and missing files', async () => {
    const bad = join(folder, 'bad.bin')
    writeFileSync(bad, Buffer.concat([record([1], 0, 0, 0), Buffer.alloc(5)]))
    await expect(cifar10(bad)).rejects.toThrow(/records of 3073 bytes, received 3078/)
    writeFileSync(bad, record([10], 0, 0, 0))
    await expect(cifar10(bad)).rejects.toThrow(VqValueError)
    await expect(cifar10(root, { split: 'test' })).rejects.toThrow(/test_batch.bin/)
    await expect(cifar10([])).rejects.toThrow(VqConfigError)
  })

  it('reads the fine and the coarse labels of CIFAR-100', async () => {
    const hundred = join(folder, 'cifar100')
    mkdirSync(hundred)
    writeFileSync(join(hundred, 'train.bin'), record([3, 42], 1, 2, 3))
    const fine = await cifar100(hundred)
    expect([[...fine.labelIds], fine.labels, fine.classes.length]).toEqual([[42], ['42'], 100])
    writeFileSync(
      join(hundred, 'coarse_label_names.txt'),
      Array.from({ length: 20 }, (_, i) => `group ${i}`).join('\n'),
    )
    const coarse = await cifar100(hundred, { labels: 'coarse' })
    expect([[...coarse.labelIds], coarse.labels, coarse.classes.length]).toEqual([[3], ['group 3'], 20])
  })

  test.skipIf(!existsSync(join(realData, 'cifar10')))(
    'reads the real files, 100 images of each class (skipped where ../shared/data is absent)',
    async () => {
      const data = await cifar10(join(realData, 'cifar10/cifar10_jpegdecoded_test1000.bin'))
      expect(data.length).toBe(1000)
      for (let c = 0; c < 10; c++) expect(data.labelIds.filter(id => id === c).length).toBe(100)
      // Natural images: neighbouring pixels are much alike, which a wrong order of planes would break.
      const [image] = [await data.batch(upTo(1000))]
      let [next, far] = [0, 0]
      for (let i = 0; i + 3072 < image.length; i += 3072)
        for (let p = 0; p < 3; p++) {
          next += Math.abs(image[i + p] - image[i + 3 + p])
          far += Math.abs(image[i + p] - image[i + 16 * 99 + p])
        }
      expect(next / far).toBeLessThan(0.3)
    },
  )
})

describe('byteImages', () => {
  it('refuses pixels that do not fit the labels', () => {
    const options = { shape: [2, 2, 1] as const, labelIds: Int32Array.of(0), classes: ['a'] }
    expect(() => byteImages({ ...options, pixels: new Uint8Array(5) })).toThrow(VqShapeError)
    expect(() => byteImages({ ...options, pixels: new Uint8Array(4), classes: [] })).toThrow(VqValueError)
  })
})

describe('coloredMnist', () => {
  const make = (options = {}) => coloredMnist({ folder, count: 30, size: 9, seed: 4, ...options })
  keepsContract('coloredMnist', { make, range: [0, 1] })

  it('paints every digit in the two colours that its caption names, which stand out from each other', async () => {
    const data = await make()
    const all = await data.batch(upTo(30))
    const grey = await (await mnist(folder)).batch(upTo(12))
    for (const [i, text] of data.captions.entries()) {
      const [, ink, digit, paper] = /^(\w+ \w+) (\d) on (\w+ \w+)$/.exec(text) as RegExpExecArray
      expect(Number(digit)).toBe(digits[i % 12])
      expect(data.labelIds[i]).toBe(digits[i % 12])
      const [front, back] = [ink, paper].map(name => namedColors.find(c => c.name === name)!)
      expect(ciede2000(front.lab, back.lab)).toBeGreaterThanOrEqual(leastDifference)
      for (let y = 0; y < 9; y++)
        for (let x = 0; x < 9; x++) {
          // 5×4 digits in the middle of 9×9: from row 2 and column 2.
          const inside = y >= 2 && y < 7 && x >= 2 && x < 6
          const on = inside && grey[(i % 12) * 20 + (y - 2) * 4 + x - 2] >= 0.5
          const at = (i * 81 + y * 9 + x) * 3
          const seen = [...all.subarray(at, at + 3)].map(v => Math.round(v * 255))
          expect(seen).toEqual([...(on ? front : back).rgb])
        }
    }
  })

  it('goes on behind an offset, differs by seed, and mixes colours on request', async () => {
    const whole = await make()
    const rest = await make({ offset: 20, count: 10 })
    expect(rest.captions).toEqual(whole.captions.slice(20))
    expect([...(await rest.batch(upTo(10)))]).toEqual([...(await whole.batch(upTo(30).subarray(20)))])
    expect((await make({ seed: 5 })).captions).not.toEqual(whole.captions)
    const mixed = await (await make({ binarize: false })).batch(Int32Array.of(0))
    const shades = new Set(Array.from({ length: 81 }, (_, p) => mixed.slice(3 * p, 3 * p + 3).join()))
    expect(shades.size).toBeGreaterThan(2)
  })

  it('refuses images smaller than the digits, and unclear places of the files', async () => {
    await expect(make({ size: 4 })).rejects.toThrow(VqConfigError)
    await expect(coloredMnist({ images })).rejects.toThrow(VqConfigError)
    await expect(coloredMnist({ folder, images, labels })).rejects.toThrow(VqConfigError)
  })
})
