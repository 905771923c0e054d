import { fsqLevels } from '@vq/quantizers'
import { describe, expect, it } from 'vitest'

describe('fsqLevels', () => {
  it('gives table 1 of the paper', () => {
    expect([8, 10, 12, 14, 16].map(bits => fsqLevels(2 ** bits))).toEqual([
      [8, 6, 5],
      [8, 5, 5, 5],
      [7, 5, 5, 5, 5],
      [8, 8, 8, 6, 5],
      [8, 8, 8, 5, 5, 5],
    ])
  })

  it('comes within a fifth of every size up to 2^16', () => {
    for (let bits = 1; bits <= 16; bits++) {
      const size = fsqLevels(2 ** bits).reduce((a, b) => a * b, 1)
      expect(Math.abs(Math.log2(size) - bits)).toBeLessThan(0.3)
    }
    expect(() => fsqLevels(1)).toThrow(/codebookSize/)
  })
})
