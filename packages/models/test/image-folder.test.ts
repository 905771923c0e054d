import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { VqConfigError, VqFormatError } from '@vq/core'
import { imageFolder, splitDataset } from '@vq/models/data'
import sharp from 'sharp'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

let folder = ''
const at = (name: string): string => {
  const path = join(folder, name)
  mkdirSync(dirname(path), { recursive: true })
  return path
}
const flat = (background: string, width: number, height: number): ReturnType<typeof sharp> =>
  sharp({ create: { width, height, channels: 4, background } })

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'vq-images-'))
  await flat('#ff0000', 40, 20).removeAlpha().png().toFile(at('red.png'))
  await flat('#0000ff', 16, 16).removeAlpha().webp({ lossless: true }).toFile(at('deep/er/blue.webp'))
  await flat('#00000000', 9, 9).png().toFile(at('alpha.png'))
  await flat('#0000ff80', 9, 9).png().toFile(at('half alpha.png'))
  await flat('#808080', 31, 7).greyscale().jpeg({ quality: 100 }).toFile(at('deep/grey.JPG'))
  await sharp({ create: { width: 8, height: 8, channels: 3, background: '#00ff00' } })
    .png({ palette: true })
    .toFile(at('ünïcode 图片.png'))
  // Left half black, right half white; orientation 6 says "turn a quarter clockwise": black comes to the top.
  const halves = Buffer.from(
    Array.from({ length: 16 * 16 * 3 }, (_, i) => (Math.floor(i / 3) % 16 < 8 ? 0 : 255)),
  )
  await sharp(halves, { raw: { width: 16, height: 16, channels: 3 } })
    .withMetadata({ orientation: 6 })
    .jpeg({ quality: 100 })
    .toFile(at('turned.jpg'))
  await sharp(Buffer.alloc(64 * 64 * 3, 99), { raw: { width: 64, height: 64, channels: 3 } })
    .png()
    .toFile(at('large.png'))
  copyFileSync(at('turned.jpg'), at('cut.jpg'))
  truncateSync(at('cut.jpg'), 300)
  writeFileSync(at('zero.png'), '')
  writeFileSync(at('text.jpg'), 'this is no picture')
  writeFileSync(at('drawing.png'), '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>')
  writeFileSync(at('notes.txt'), 'hello')
  writeFileSync(at('.hidden.jpg'), 'not looked at')
  symlinkSync('.', at('loop'))
  symlinkSync('nowhere.png', at('broken.png'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const pixel = async (data: Awaited<ReturnType<typeof imageFolder>>, id: string, y: number, x: number) => {
  const [height, width] = data.shape
  const values = await data.batch(Int32Array.of(data.ids.indexOf(id)))
  expect(values.length).toBe(height! * width! * 3)
  return [...values.slice((y * width! + x) * 3, (y * width! + x) * 3 + 3)].map(v => Math.round(v * 255))
}

describe('imageFolder', () => {
  test('takes what can be read, in code point order, and names the rest with a reason', async () => {
    const seen: number[] = []
    const data = await imageFolder(folder, { size: 8, maxPixels: 2000, onProgress: done => seen.push(done) })
    expect(data.ids).toEqual([
      'alpha.png',
      'deep/er/blue.webp',
      'deep/grey.JPG',
      'half alpha.png',
      'red.png',
      'turned.jpg',
      'ünïcode 图片.png',
    ])
    expect(data.labels.slice(0, 3)).toEqual(['', 'deep/er', 'deep'])
    expect(data.length).toBe(7)
    expect(data.shape).toEqual([8, 8, 3])
    const reasons = Object.fromEntries(data.skipped.map(s => [s.file, s.reason]))
    expect(Object.keys(reasons).sort()).toEqual(
      [
        'broken.png',
        'cut.jpg',
        'drawing.png',
        'large.png',
        'loop/',
        'notes.txt',
        'text.jpg',
        'zero.png',
      ].sort(),
    )
    expect(reasons['zero.png']).toBe('empty file')
    expect(reasons['text.jpg']).toBe('not an image that can be read')
    expect(reasons['drawing.png']).toMatch(/holds svg/)
    expect(reasons['large.png']).toMatch(/pixels/)
    expect(reasons['cut.jpg']).toMatch(/^corrupt or unreadable \(/)
    expect(reasons['loop/']).toMatch(/already read/)
    expect(seen.at(-1)).toBe(12)
  })

  test('colours, grey, transparency and orientation come out as they should', async () => {
    const data = await imageFolder(folder, { size: 8 })
    expect(await pixel(data, 'red.png', 4, 4)).toEqual([255, 0, 0])
    expect(await pixel(data, 'deep/er/blue.webp', 0, 7)).toEqual([0, 0, 255])
    expect(await pixel(data, 'ünïcode 图片.png', 3, 3)).toEqual([0, 255, 0])
    expect(await pixel(data, 'alpha.png', 2, 2)).toEqual([255, 255, 255])
    const [r, g, b] = await pixel(data, 'half alpha.png', 2, 2)
    expect([Math.abs(r! - 127) <= 1, Math.abs(g! - 127) <= 1, b]).toEqual([true, true, 255])
    const grey = await pixel(data, 'deep/grey.JPG', 5, 1)
    expect(new Set(grey).size).toBe(1)
    expect(Math.abs(grey[0]! - 128)).toBeLessThanOrEqual(1)
    expect((await pixel(data, 'turned.jpg', 0, 7))[0]).toBeLessThan(20)
    expect((await pixel(data, 'turned.jpg', 7, 0))[0]).toBeGreaterThan(235)
  })

  test('images beyond the memory bound are decoded again and are the same', async () => {
    const cached = await imageFolder(folder, { size: 8 })
    const bare = await imageFolder(folder, { size: 8, cacheBytes: 8 * 8 * 3 * 2 + 5 })
    const all = Int32Array.from(cached.ids.keys()).reverse()
    expect(cached.batch(all)).toBeInstanceOf(Float32Array)
    expect(await bare.batch(all)).toEqual(await cached.batch(all))
    rmSync(join(folder, 'large.png'))
    await expect(bare.batch(Int32Array.of(bare.ids.indexOf('large.png')))).rejects.toThrow(VqFormatError)
  })

  test('a folder that is missing, empty, or a file is an error that says what was looked for', async () => {
    await expect(imageFolder(join(folder, 'no such'))).rejects.toThrow(/JPEG, PNG or WebP.*nothing there/)
    await expect(imageFolder(join(folder, 'red.png'))).rejects.toThrow(/received a file/)
    const empty = mkdtempSync(join(tmpdir(), 'vq-empty-'))
    await expect(imageFolder(empty)).rejects.toThrow(/an empty folder/)
    writeFileSync(join(empty, 'a.png'), 'x')
    await expect(imageFolder(empty)).rejects.toThrow(/1 files of which none is usable \(a\.png: /)
    await expect(imageFolder(empty)).rejects.toThrow(VqConfigError)
    rmSync(empty, { recursive: true })
  })

  test('an abort signal ends the reading', async () => {
    await expect(imageFolder(folder, { signal: AbortSignal.abort() })).rejects.toThrow(
      expect.objectContaining({ name: 'AbortError' }),
    )
  })
})

describe('splitDataset', () => {
  test('splits into two parts without overlap, the same for the same seed, another for another', async () => {
    const data = await imageFolder(folder, { size: 4 })
    const { train, heldOut } = splitDataset(data, { heldOut: 2, seed: 5 })
    expect([train.length, heldOut.length]).toEqual([data.length - 2, 2])
    expect([...train.ids!, ...heldOut.ids!].sort()).toEqual([...data.ids].sort())
    expect(splitDataset(data, { heldOut: 2, seed: 5 }).heldOut.ids).toEqual(heldOut.ids)
    const others = new Set(
      [1, 2, 3, 4].map(seed => splitDataset(data, { heldOut: 2, seed }).heldOut.ids!.join()),
    )
    expect(others.size).toBeGreaterThan(1)
    const position = data.ids.indexOf(heldOut.ids![1]!)
    expect(await heldOut.batch(Int32Array.of(1))).toEqual(await data.batch(Int32Array.of(position)))
  })
})
