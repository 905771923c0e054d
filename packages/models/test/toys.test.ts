import { VqConfigError } from '@vq/core'
import {
  blobs,
  checkerboard,
  circles,
  gaussianGrid,
  gaussianRing,
  moons,
  type PointOptions,
  type PointSet,
  pinwheel,
  spirals,
  swissRoll,
  uniformSquare,
} from '@vq/models/data'
import { describe, expect, it } from 'vitest'
import { keepsContract } from './data-fixture.js'

const sets: Record<string, (options?: PointOptions) => PointSet> = {
  moons,
  circles,
  spirals,
  swissRoll,
  gaussianGrid,
  gaussianRing,
  blobs,
  pinwheel,
  uniformSquare,
  checkerboard,
}

const points = (set: PointSet): { x: number; y: number; label: number }[] =>
  Array.from({ length: set.length }, (_, i) => ({
    x: set.points[2 * i],
    y: set.points[2 * i + 1],
    label: set.labelIds[i],
  }))
const sorted = (rows: number[][]): string[] => rows.map(row => row.map(v => v.toFixed(5)).join()).sort()
const mean = (values: number[]): number => values.reduce((a, b) => a + b, 0) / values.length

describe.each(Object.entries(sets))('%s', (name, make) => {
  keepsContract(name, { make: () => make({ n: 60, seed: 3 }) })

  it('is the same for the same seed and another for another; its labels are those of the extra', async () => {
    const [a, b, c] = [make({ n: 99, seed: 1 }), make({ n: 99, seed: 1 }), make({ n: 99, seed: 2 })]
    expect([...a.points]).toEqual([...b.points])
    expect([...a.points]).not.toEqual([...c.points])
    const { label } = await a.extras(Int32Array.of(5, 0))
    expect([...label.values]).toEqual([a.labelIds[5], a.labelIds[0]])
    expect(a.labels[5]).toBe(a.classes[a.labelIds[5]])
    // As many labels as classes, unless the cells are many.
    expect(new Set(make({ n: 2000 }).labelIds).size).toBe(a.classes.length)
  })

  it('refuses options out of range', () => {
    expect(() => make({ n: 0 })).toThrow(VqConfigError)
    expect(() => make({ n: 1.5 })).toThrow(VqConfigError)
  })
})

describe('the figures', () => {
  it("moons are scikit-learn's: make_moons(7, shuffle=False)", () => {
    // numpy: outer cos/sin of linspace(0, pi, 3), inner 1 - cos, 1 - sin - 0.5 of linspace(0, pi, 4).
    const s = Math.sqrt(3) / 2
    const rows = [
      [1, 0, 0],
      [0, 1, 0],
      [-1, 0, 0],
      [0, 0.5, 1],
      [0.5, 0.5 - s, 1],
      [1.5, 0.5 - s, 1],
      [2, 0.5, 1],
    ]
    const found = points(moons({ n: 7 })).map(({ x, y, label }) => [x, y, label])
    expect(sorted(found.map(row => row.map(v => v + 1e-9)))).toEqual(
      sorted(rows.map(row => row.map(v => v + 1e-9))),
    )
  })

  it('circles have the radii 1 and factor, evenly filled', () => {
    const all = points(circles({ n: 40, factor: 0.4 }))
    for (const { x, y, label } of all) expect(Math.hypot(x, y)).toBeCloseTo(label === 0 ? 1 : 0.4, 6)
    for (const label of [0, 1]) {
      const angles = all.filter(p => p.label === label).map(p => Math.atan2(p.y, p.x))
      angles.sort((a, b) => a - b)
      for (let i = 1; i < angles.length; i++)
        expect(angles[i] - angles[i - 1]).toBeCloseTo((2 * Math.PI) / 20, 4)
    }
  })

  it('points of a spiral turn with their radius', () => {
    for (const { x, y, label } of points(spirals({ n: 200, arms: 3, turns: 2 }))) {
      const turn = Math.atan2(y, x) / (2 * Math.PI) - 2 * Math.hypot(x, y) - label / 3
      expect(Math.abs(turn - Math.round(turn))).toBeLessThan(1e-3)
    }
  })

  it('points of a Swiss roll lie at the angle of their radius', () => {
    for (const { x, y, label } of points(swissRoll({ n: 200 }))) {
      const t = Math.hypot(x, y)
      expect(x).toBeCloseTo(t * Math.cos(t), 4)
      expect(y).toBeCloseTo(t * Math.sin(t), 4)
      expect(label).toBe(Math.floor((3 * (t / (1.5 * Math.PI) - 1)) / 2))
    }
  })

  it('noise has the deviation that was asked for', () => {
    const noisy = points(circles({ n: 20000, factor: 0, noise: 0.1, seed: 5 })).filter(p => p.label === 1)
    // Standard error of a deviation: 0.1 / √(2·10,000) = 0.0007.
    expect(Math.sqrt(mean(noisy.map(p => p.x ** 2)))).toBeCloseTo(0.1, 2)
    expect(Math.abs(mean(noisy.map(p => p.x * p.y)))).toBeLessThan(0.0005)
  })

  it('clouds lie on their grid, their ring and around their centres', () => {
    for (const { x, y, label } of points(gaussianGrid({ n: 500, side: 3, spacing: 4, deviation: 0.1 }))) {
      expect(Math.abs(x - 4 * ((label % 3) - 1))).toBeLessThan(0.6)
      expect(Math.abs(y - 4 * (Math.floor(label / 3) - 1))).toBeLessThan(0.6)
    }
    for (const { x, y, label } of points(gaussianRing({ n: 500, modes: 6, radius: 3, deviation: 0.05 })))
      expect(
        Math.hypot(x - 3 * Math.cos((label * Math.PI) / 3), y - 3 * Math.sin((label * Math.PI) / 3)),
      ).toBeLessThan(0.4)
    const set = points(blobs({ n: 3000, centers: 4, deviation: 0.5, seed: 2 }))
    for (let c = 0; c < 4; c++) {
      const own = set.filter(p => p.label === c)
      const [mx, my] = [mean(own.map(p => p.x)), mean(own.map(p => p.y))]
      expect(own.length).toBe(750)
      expect(Math.sqrt(mean(own.map(p => ((p.x - mx) ** 2 + (p.y - my) ** 2) / 2)))).toBeCloseTo(0.5, 1)
    }
  })

  it('an arm of the pinwheel, turned back, is a normal cloud around (1, 0)', () => {
    const set = points(pinwheel({ n: 20000, arms: 4, radial: 0.2, tangential: 0.05, rate: 0 }))
    const back = set.map(({ x, y, label }) => {
      const [cos, sin] = [Math.cos((label * Math.PI) / 2), Math.sin((label * Math.PI) / 2)]
      return [x * cos - y * sin, x * sin + y * cos]
    })
    expect(mean(back.map(p => p[0]))).toBeCloseTo(1, 2)
    expect(Math.sqrt(mean(back.map(p => (p[0] - 1) ** 2)))).toBeCloseTo(0.2, 2)
    expect(Math.sqrt(mean(back.map(p => p[1] ** 2)))).toBeCloseTo(0.05, 2)
  })

  it('the square and the board are evenly filled, the board in every second cell', () => {
    const square = points(uniformSquare({ n: 20000, half: 2 }))
    expect(Math.max(...square.flatMap(p => [Math.abs(p.x), Math.abs(p.y)]))).toBeLessThanOrEqual(2)
    // Variance of a uniform number on [−2, 2): 4/3, with a standard error of 0.0084.
    expect(Math.abs(mean(square.map(p => p.x ** 2)) - 4 / 3)).toBeLessThan(0.04)
    const board = points(checkerboard({ n: 8000, cells: 4 }))
    const counts = new Map<number, number>()
    for (const { x, y, label } of board) {
      const [column, row] = [Math.floor((x + 4) / 2), Math.floor((y + 4) / 2)]
      expect((column + row) % 2).toBe(0)
      expect(label).toBe(row * 2 + Math.floor(column / 2))
      counts.set(label, (counts.get(label) ?? 0) + 1)
    }
    // Chi-squared with 7 degrees of freedom: 24.3 is the 0.1% point.
    expect([...counts.values()].reduce((sum, c) => sum + (c - 1000) ** 2 / 1000, 0)).toBeLessThan(24.3)
    expect(() => checkerboard({ cells: 3 })).toThrow(VqConfigError)
  })
})
