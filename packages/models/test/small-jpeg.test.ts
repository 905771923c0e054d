import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { decodeImage, decodeSmallJpeg, loadSharp } from '@vq/models/readers'
import fc from 'fast-check'
import sharp from 'sharp'
import { describe, expect, test } from 'vitest'

/** What libjpeg makes of it, through sharp. */
async function libjpeg(bytes: Uint8Array): Promise<Buffer | undefined> {
  try {
    const { data, info } = await sharp(bytes, { failOn: 'error' })
      .flatten({ background: '#ffffff' })
      .toColourspace('srgb')
      .raw({ depth: 'uchar' })
      .toBuffer({ resolveWithObject: true })
    return info.channels === 1 ? Buffer.from(Array.from(data).flatMap(v => [v, v, v])) : data
  } catch {
    return undefined
  }
}

const images = fc
  .record({
    width: fc.integer({ min: 5, max: 48 }),
    height: fc.integer({ min: 1, max: 48 }),
    noise: fc.integer({ min: 1, max: 255 }),
    seed: fc.nat(1e6),
    quality: fc.integer({ min: 1, max: 100 }),
    chromaSubsampling: fc.constantFrom('4:4:4', '4:2:0'),
    grey: fc.boolean(),
    optimiseCoding: fc.boolean(),
  })
  .map(({ width, height, noise, seed, grey, ...options }) => {
    const pixels = Uint8Array.from(
      { length: width * height * 3 },
      (_, i) =>
        128 + 90 * Math.sin((i + seed) / 40) + ((Math.imul(i + 1, 2654435761 + seed) >>> 24) * noise) / 600,
    )
    const image = sharp(pixels, { raw: { width, height, channels: 3 } })
    return { width, height, bytes: (grey ? image.greyscale() : image).jpeg(options).toBuffer() }
  })

describe('a small plain JPEG', () => {
  test('is decoded to the bytes that libjpeg gives', async () => {
    let own = 0
    await fc.assert(
      fc.asyncProperty(images, async ({ width, height, bytes }) => {
        const jpeg = await bytes
        const pixels = decodeSmallJpeg(jpeg, height, width)
        if (pixels === undefined) return
        own++
        expect(Buffer.from(pixels).equals((await libjpeg(jpeg))!)).toBe(true)
      }),
      { numRuns: 200 },
    )
    expect(own).toBeGreaterThan(180)
  })

  test.each([
    ['422', 21, 11],
    ['422-restart', 40, 18],
    ['420-restart', 37, 35],
  ])('of the kind %s as well', async (name, width, height) => {
    const jpeg = readFileSync(join('test/oracle', `jpeg-${name}.jpg`))
    expect(Buffer.from(decodeSmallJpeg(jpeg, height, width)!).equals((await libjpeg(jpeg))!)).toBe(true)
  })

  test('that is damaged is taken only where libjpeg takes it, with the same bytes', async () => {
    const jpegs = ['422-restart', '420-restart'].map(name =>
      readFileSync(join('test/oracle', `jpeg-${name}.jpg`)),
    )
    const change = fc.tuple(fc.nat(1e6), fc.nat(7))
    await fc.assert(
      fc.asyncProperty(
        fc.nat(1),
        fc.array(change, { minLength: 1, maxLength: 3 }),
        fc.boolean(),
        async (which, changes, cut) => {
          const jpeg = Buffer.from(jpegs[which]!)
          for (const [at, bit] of changes) jpeg[at % jpeg.length] ^= 1 << bit
          const bytes = cut ? jpeg.subarray(0, changes[0]![0] % jpeg.length) : jpeg
          const [width, height] = which === 0 ? [40, 18] : [37, 35]
          const pixels = decodeSmallJpeg(bytes, height, width)
          if (pixels !== undefined) expect(Buffer.from(pixels).equals((await libjpeg(bytes))!)).toBe(true)
        },
      ),
      { numRuns: 300 },
    )
  })

  test('of another size, turned by EXIF, progressive or large is left to the library', async () => {
    const pixels = new Uint8Array(24 * 16 * 3).map((_, i) => i % 251)
    const image = () => sharp(pixels, { raw: { width: 24, height: 16, channels: 3 } })
    const plain = await image().jpeg().toBuffer()
    expect(decodeSmallJpeg(plain, 16, 24)).toBeDefined()
    expect(decodeSmallJpeg(plain, 24, 16)).toBeUndefined()
    const turned = await image().withMetadata({ orientation: 6 }).jpeg().toBuffer()
    const progressive = await image().jpeg({ progressive: true }).toBuffer()
    for (const bytes of [turned, progressive, await image().png().toBuffer(), new Uint8Array(0)])
      expect(decodeSmallJpeg(bytes, 16, 24)).toBeUndefined()
    const upright = await decodeImage(await loadSharp(), turned, { size: [24, 16], maxPixels: 1e6 })
    expect(Buffer.from(upright)).toEqual(await sharp(turned).autoOrient().raw().toBuffer())
  })

  test('lets timers run however many there are', async () => {
    const jpeg = await sharp({ create: { width: 64, height: 64, channels: 3, background: '#123456' } })
      .jpeg()
      .toBuffer()
    const library = await loadSharp()
    let turns = 0
    const timer = setInterval(() => turns++, 1)
    const until = performance.now() + 200
    while (performance.now() < until) await decodeImage(library, jpeg, { size: 64, maxPixels: 1e6 })
    clearInterval(timer)
    expect(turns).toBeGreaterThan(2)
  })
})
