import { VqConfigError } from '@vq/core'
import { ArrayDataset, randomCrops } from '@vq/models/data'
import { expect, test } from 'vitest'

const ramp = Float32Array.from({ length: 2 * 8 * 8 * 3 }, (_, i) => (Math.floor(i / 3) % 8) / 7)

test('the whole image as window is the mean over blocks, mirrored or not', () => {
  const crops = randomCrops(new ArrayDataset(ramp, [8, 8, 3]), { size: 4, copies: 10, minScale: 1 })
  expect([crops.length, ...crops.shape]).toEqual([20, 4, 4, 3])
  const values = crops.batch(Int32Array.from({ length: 20 }, (_, i) => i)) as Float32Array
  const seen = new Set<string>()
  for (let n = 0; n < 20; n++)
    for (let y = 0; y < 4; y++) {
      const row = [0, 1, 2, 3].map(x => values[((n * 4 + y) * 4 + x) * 3 + 1]!)
      if (row[0]! > row[3]!) row.reverse()
      else seen.add('as it is')
      if (row[0]! <= row[3]!) seen.add('mirrored')
      for (const [x, v] of row.entries()) expect(v).toBeCloseTo((2 * x + 0.5) / 7, 6)
    }
  expect([...seen].sort()).toEqual(['as it is', 'mirrored'])
})

test('an item depends on the seed and its number alone, windows lie within the image', () => {
  const options = { size: 4, copies: 50, seed: 7 }
  const crops = randomCrops(new ArrayDataset(ramp, [8, 8, 3]), options)
  const all = crops.batch(Int32Array.from({ length: 100 }, (_, i) => i)) as Float32Array
  expect(Math.min(...all)).toBeGreaterThanOrEqual(0)
  expect(Math.max(...all)).toBeLessThanOrEqual(1 + 1e-6)
  expect(crops.batch(Int32Array.of(63))).toEqual(all.subarray(63 * 48, 64 * 48))
  const firsts = Array.from({ length: 100 }, (_, n) => all[n * 48]!)
  expect(new Set(firsts).size).toBeGreaterThan(80)
  const other = randomCrops(new ArrayDataset(ramp, [8, 8, 3]), { ...options, seed: 8 })
  expect(other.batch(Int32Array.of(63))).not.toEqual(all.subarray(63 * 48, 64 * 48))
})

test('images smaller than the crops are refused', () => {
  expect(() => randomCrops(new ArrayDataset(ramp, [8, 8, 3]), { size: 9, copies: 1 })).toThrow(VqConfigError)
})
