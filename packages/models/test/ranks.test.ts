import { Random } from '@vq/core'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { averageRanks } from '../src/evaluate/ranks.js'

// Of the definition: the numbers below, and half of the equal ones.
function byCounting(values: Float64Array): Float64Array {
  return values.map(v => {
    const below = values.filter(w => w < v).length
    return below + (values.filter(w => w === v).length + 1) / 2
  })
}

describe('average ranks', () => {
  test('are the places among the sorted, for ties and ranges of every kind', () => {
    const number = fc.oneof(
      fc.integer({ min: -3, max: 3 }),
      fc.double({ noNaN: true, noDefaultInfinity: true, min: -1e140, max: 1e140 }),
      fc.double({ noNaN: true, min: 0, max: 1e-300 }),
    )
    fc.assert(
      fc.property(fc.array(number, { maxLength: 120 }), drawn => {
        const values = Float64Array.from(drawn)
        const expected = byCounting(values)
        averageRanks(values)
        expect(values).toEqual(expected)
      }),
    )
  })

  test('of many numbers, half of them rounded, and one far away', () => {
    const random = new Random(1)
    const values = Float64Array.from({ length: 2000 }, (_, i) => {
      const v = random.normal()
      return i % 2 === 0 ? v : Math.round(v * 4) / 4
    })
    for (const far of [0, 1e9]) {
      const ranks = values.slice()
      ranks[7] += far
      const expected = byCounting(ranks)
      averageRanks(ranks)
      expect(ranks).toEqual(expected)
    }
  })
})
