// The pickles are what test/oracle/pickles.py wrote.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { VqConfigError, VqFormatError } from '@vq/core'
import { pickledImages } from '@vq/models/data'
import { afterAll, describe, expect, test } from 'vitest'

const at = (name: string): string =>
  fileURLToPath(new URL(`../../../test/oracle/pickles/${name}`, import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'vq-pickled-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

// Pixel p of image i is (first + i + p) mod 4, in two bits.
const pixels = (i: number): number[] => Array.from({ length: 48 }, (_, p) => ((i + p) % 4) / 3)
const close = (values: Float32Array, expected: number[]): void => {
  expect(values).toHaveLength(expected.length)
  for (const [i, v] of expected.entries()) expect(values[i]).toBeCloseTo(v, 6)
}

describe('pickledImages', () => {
  test.each([0, 2, 4])('reads { train, test } of protocol %i', async protocol => {
    const { train, test: held } = await pickledImages(at(`mnist_colored-${protocol}.pkl`))
    expect([train.length, held.length, train.shape, train.captions]).toEqual([3, 2, [4, 4, 3], undefined])
    close(await train.batch(Int32Array.of(2, 0)), [...pixels(2), ...pixels(0)])
    close(await held.batch(Int32Array.of(1)), pixels(11))
    expect(() => train.batch(Int32Array.of(3))).toThrow(VqConfigError)
  })

  test('reads images with texts', async () => {
    const { train, test: held } = await pickledImages(at('colored_mnist_with_text.pkl'))
    const texts = ['light red 7 on dark blue', 'plain cyan 0 on bright pink', 'dark gray 3 on light white']
    expect([train.captions, held.captions]).toEqual([texts, texts.slice(0, 2)])
    close(await train.batch(Int32Array.of(1)), pixels(1))
  })

  test('executes nothing, and says what it cannot take', async () => {
    await expect(pickledImages(at('evil.pkl'))).rejects.toThrow(
      /posix\.system, which is refused: nothing of it was run/,
    )
    expect(existsSync('executed')).toBe(false)
    const cut = join(folder, 'cut.pkl')
    writeFileSync(cut, readFileSync(at('mnist_colored-4.pkl')).subarray(0, 300))
    await expect(pickledImages(cut)).rejects.toThrow(VqFormatError)
    const number = join(folder, 'number.pkl')
    writeFileSync(number, Buffer.from('\x80\x02K\x07.', 'latin1'))
    await expect(pickledImages(number)).rejects.toThrow(/dictionary \{ train, test \}/)
    const lists = join(folder, 'lists.pkl')
    // {'train': [], 'test': []}
    writeFileSync(lists, Buffer.from('\x80\x02}(X\x05\0\0\0train]X\x04\0\0\0test]u.', 'latin1'))
    await expect(pickledImages(lists)).rejects.toThrow(/train images as an array/)
    await expect(pickledImages(join(folder, 'nowhere.pkl'))).rejects.toThrow(/nowhere/)
  })
})
