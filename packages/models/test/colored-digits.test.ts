import { VqConfigError } from '@vq/core'
import {
  ciede2000,
  coloredDigits,
  contrasting,
  grayDigits,
  hues,
  type Lab,
  namedColors,
  shades,
  srgbToLab,
} from '@vq/models/data'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { glyphs, polyline } from '../src/data/digits/strokes.js'

const range = (n: number): Int32Array => Int32Array.from({ length: n }, (_, i) => i)

describe('CIEDE2000', () => {
  // From table 1 of Sharma, Wu, Dalal 2005.
  const cases: [Lab, Lab, number][] = [
    [[50, 2.6772, -79.7751], [50, 0, -82.7485], 2.0425],
    [[50, 3.1571, -77.2803], [50, 0, -82.7485], 2.8615],
    [[50, 2.8361, -74.02], [50, 0, -82.7485], 3.4412],
    [[50, -1.3802, -84.2814], [50, 0, -82.7485], 1],
    [[50, 0, 0], [50, -1, 2], 2.3669],
    [[50, 2.49, -0.001], [50, -2.49, 0.0009], 7.1792],
    [[50, 2.5, 0], [50, 0, -2.5], 4.3065],
    [[50, 2.5, 0], [73, 25, -18], 27.1492],
    [[50, 2.5, 0], [61, -5, 29], 22.8977],
    [[50, 2.5, 0], [56, -27, -3], 31.903],
    [[50, 2.5, 0], [58, 24, 15], 19.4535],
    [[60.2574, -34.0099, 36.2677], [60.4626, -34.1751, 39.4387], 1.2644],
    [[63.0109, -31.0961, -5.8663], [62.8187, -29.7946, -4.0864], 1.263],
    [[2.0776, 0.0795, -1.135], [0.9033, -0.0636, -0.5514], 0.9082],
  ]
  test.each(cases)('%j and %j are as far apart as published', (a, b, expected) => {
    expect(ciede2000(a, b)).toBeCloseTo(expected, 4)
    expect(ciede2000(b, a)).toBeCloseTo(expected, 4)
  })

  test('sRGB white, black and red have the L*a*b* of the standard', () => {
    const near = (actual: Lab, expected: Lab): void => {
      for (let i = 0; i < 3; i++) expect(actual[i]).toBeCloseTo(expected[i]!, 1)
    }
    near(srgbToLab([255, 255, 255]), [100, 0, 0])
    near(srgbToLab([0, 0, 0]), [0, 0, 0])
    near(srgbToLab([255, 0, 0]), [53.24, 80.09, 67.2])
  })
})

describe('colours', () => {
  test('there are 5 shades of 13 colours, all with different bytes', () => {
    expect(shades.length * hues.length).toBe(65)
    expect(new Set(namedColors.map(c => c.name)).size).toBe(65)
    expect(new Set(namedColors.map(c => c.rgb.join())).size).toBe(65)
  })

  test('any two are at least 5 apart, and the table says shade and colour of each', () => {
    for (const [i, a] of namedColors.entries()) {
      expect(a.name).toBe(`${a.shade} ${a.color}`)
      expect([shades.includes(a.shade), hues.includes(a.color)]).toEqual([true, true])
      for (const b of namedColors.slice(i + 1)) expect(ciede2000(a.lab, b.lab)).toBeGreaterThanOrEqual(5)
    }
  })

  test('every colour has at least 30 backgrounds that it stands out from', () => {
    for (const [a, others] of contrasting.entries()) {
      expect(others.length).toBeGreaterThanOrEqual(30)
      for (const b of others)
        expect(ciede2000(namedColors[a]!.lab, namedColors[b]!.lab)).toBeGreaterThanOrEqual(25)
    }
  })
})

describe('strokes', () => {
  test('every digit has variants, and curves pass through their points within the box', () => {
    expect(glyphs.length).toBe(10)
    for (const variants of glyphs) {
      expect(variants.length).toBeGreaterThanOrEqual(2)
      for (const stroke of variants.flat()) {
        const line = polyline(stroke)
        expect(Math.min(...line)).toBeGreaterThan(-0.1)
        expect(Math.max(...line)).toBeLessThan(1.1)
        const on = stroke.points.filter(([x, y]) => {
          for (let i = 0; i < line.length; i += 2)
            if (Math.hypot(line[i]! - x, line[i + 1]! - y) < 1e-9) return true
          return false
        })
        expect(on.length).toBe(stroke.points.length)
      }
    }
  })
})

describe('coloredDigits', () => {
  test('an item depends on the seed and its number alone', () => {
    const whole = coloredDigits({ count: 40, seed: 3 })
    const all = whole.batch(range(40)) as Float32Array
    const item = 32 * 32 * 3
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 39 }), fc.integer({ min: 0, max: 39 }), (a, b) => {
        const pair = whole.batch(Int32Array.of(a, b)) as Float32Array
        expect(pair.subarray(0, item)).toEqual(all.subarray(a * item, (a + 1) * item))
        expect(pair.subarray(item)).toEqual(all.subarray(b * item, (b + 1) * item))
      }),
      { numRuns: 20 },
    )
    const rest = coloredDigits({ count: 10, seed: 3, offset: 30 })
    expect(rest.batch(range(10))).toEqual(all.subarray(30 * item))
    expect(rest.captions).toEqual(whole.captions.slice(30))
    expect(rest.ids[0]).toBe('digit-000030')
    expect(coloredDigits({ count: 40, seed: 4 }).captions).not.toEqual(whole.captions)
  })

  test('captions are six words of the vocabulary and tell the colours and the digit that are drawn', () => {
    const data = coloredDigits({ count: 60, size: 32, seed: 1 })
    const images = data.batch(range(60)) as Float32Array
    for (let n = 0; n < 60; n++) {
      const words = data.captions[n]!.split(' ')
      expect(words.length).toBe(6)
      expect([words[2], words[3]]).toEqual([data.labels[n], 'on'])
      const ink = namedColors.find(c => c.name === `${words[0]} ${words[1]}`)!
      const paper = namedColors.find(c => c.name === `${words[4]} ${words[5]}`)!
      const bytes = Array.from(images.subarray(n * 3072, (n + 1) * 3072), v => Math.round(v * 255))
      const pixels = Array.from({ length: 1024 }, (_, p) => bytes.slice(3 * p, 3 * p + 3).join())
      // The corner is background; the digit's own colour is found; paper is most of the picture.
      expect(pixels[0]).toBe(paper.rgb.join())
      expect(pixels.filter(p => p === ink.rgb.join()).length).toBeGreaterThan(5)
      expect(pixels.filter(p => p === paper.rgb.join()).length).toBeGreaterThan(512)
    }
  })

  test('all ten digits come about equally often', () => {
    const counts = new Array<number>(10).fill(0)
    for (const label of coloredDigits({ count: 5000, seed: 9 }).labels) counts[Number(label)]!++
    // Chi-squared with 9 degrees of freedom: 27.9 is the 0.1% point.
    expect(counts.reduce((sum, c) => sum + (c - 500) ** 2 / 500, 0)).toBeLessThan(27.9)
  })

  test('values are whole 255ths at any size', () => {
    const data = coloredDigits({ count: 2, size: 57, seed: 2 })
    expect(data.shape).toEqual([57, 57, 3])
    for (const v of data.batch(range(2)) as Float32Array)
      expect(Math.abs(v * 255 - Math.round(v * 255))).toBeLessThan(1e-4)
  })

  test('bad options and indices are refused', () => {
    expect(() => coloredDigits({ count: 0 })).toThrow(VqConfigError)
    expect(() => coloredDigits({ count: 1, size: 4 })).toThrow(/size to be a whole number from 8 to 1024/)
    expect(() => coloredDigits({ count: 2 }).batch(Int32Array.of(2))).toThrow(
      /numbers of samples from 0 to 1, received 2/,
    )
  })
})

test('grey digits are the coloured ones without their colours', async () => {
  const options = { count: 20, size: 24, seed: 3, offset: 5 }
  const [colored, gray] = [coloredDigits(options), grayDigits(options)]
  expect(gray.shape).toEqual([24, 24, 1])
  expect(gray.labels).toEqual(colored.labels)
  const [colors, cover] = [await colored.batch(range(20)), await gray.batch(range(20))]
  for (let i = 0; i < 20; i++) {
    const [front, back] = colored.captions[i]!.split(/ \d on /).map(
      name => namedColors.find(c => c.name === name)!.rgb,
    )
    for (let p = 0; p < 24 * 24; p++)
      for (let c = 0; c < 3; c++) {
        const mixed = back![c]! + (front![c]! - back![c]!) * cover[i * 576 + p]!
        expect(Math.abs(255 * colors[(i * 576 + p) * 3 + c]! - mixed)).toBeLessThan(1.001)
      }
  }
})
