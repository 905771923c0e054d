import {
  DeviceArray,
  device,
  initEmaState,
  Random,
  reviveDeadCodes,
  VqConfigError,
  VqShapeError,
} from '@vq/core'
import { expect, test } from 'vitest'
import { useDeviceLibrary } from './cuda-library.js'
import { draw } from './draw.js'

useDeviceLibrary()

const dim = 3
const k = 8
const x = draw(50 * dim, 1)
const dead = [1, 2, 6]
const state = () => {
  const made = initEmaState(draw(k * dim, 2), { dim })
  for (const c of dead) made.counts[c] = 0.3
  return made
}
const threshold = 0.7
// By hand: dead codes ascending, one draw each.
const want = state()
const drawn = new Random(5)
const rows = dead.map(c => {
  const row = drawn.integer(50)
  want.counts[c] = 1.4
  for (let d = 0; d < dim; d++) {
    want.codebook[c * dim + d] = x[row * dim + d]
    want.sums[c * dim + d] = Math.fround(1.4) * x[row * dim + d]
  }
  return row
})

test('dead codes take random rows, in memory and on the device, with the same draws', () => {
  for (const place of ['cpu', 'cuda'] as const) {
    const here = state()
    const random = new Random(5)
    const revived = reviveDeadCodes(x, here, { dim, threshold, reset: 1.4, random, device: place })
    expect(revived).toEqual({ codes: Int32Array.from(dead), rows: Int32Array.from(rows) })
    expect(here).toEqual(want)
    expect(random.state).toEqual(drawn.state)
  }
  for (const vectors of [x, DeviceArray.upload(x)]) {
    const { codebook, counts, sums } = state()
    const there = {
      codebook: DeviceArray.upload(codebook),
      counts: DeviceArray.upload(counts),
      sums: DeviceArray.upload(sums),
    }
    expect([
      ...reviveDeadCodes(vectors, there, { dim, threshold, reset: 1.4, random: new Random(5) }).rows,
    ]).toEqual(rows)
    for (const name of ['codebook', 'counts', 'sums'] as const) {
      expect(there[name].read()).toEqual(want[name])
      there[name].dispose()
    }
    if (vectors instanceof DeviceArray) vectors.dispose()
  }
  expect(device.memory().cuda!.buffers).toBe(0)
})

test('where no code is dead nothing is drawn and nothing changes', () => {
  const here = initEmaState(draw(k * dim, 2), { dim })
  const random = new Random(1)
  const before = random.state
  expect(reviveDeadCodes(x, here, { dim, threshold: 0.5, random }).codes.length).toBe(0)
  expect(here).toEqual(initEmaState(draw(k * dim, 2), { dim }))
  expect(random.state).toEqual(before)
})

test('a state or rows that do not fit are refused', () => {
  const call = (vectors: unknown, s: unknown, options: object) => () =>
    reviveDeadCodes(vectors as never, s as never, { dim, threshold, random: new Random(1), ...options })
  expect(call(x.subarray(1), state(), {})).toThrow(VqShapeError)
  expect(call(new Float32Array(0), state(), {})).toThrow(VqShapeError)
  expect(call(x, { ...state(), counts: new Float32Array(3) }, {})).toThrow(VqShapeError)
  expect(call(x, state(), { threshold: Number.NaN })).toThrow(VqConfigError)
  const counts = DeviceArray.upload(state().counts)
  expect(call(x, { ...state(), counts }, {})).toThrow(VqConfigError)
  counts.dispose()
})

test('codes of a group take rows of that group, and begin with twice the threshold, at least 1', () => {
  const here = state()
  const revived = reviveDeadCodes(x, here, { dim, threshold: 0.4, groups: 2, random: new Random(7) })
  expect([...revived.codes]).toEqual(dead)
  for (const [i, c] of dead.entries()) {
    expect(Math.floor(revived.rows[i] / 25)).toBe(Math.floor(c / 4))
    expect(here.counts[c]).toBe(1)
    expect([...here.codebook.subarray(c * dim, (c + 1) * dim)]).toEqual([
      ...x.subarray(revived.rows[i] * dim, (revived.rows[i] + 1) * dim),
    ])
  }
  const random = new Random(7)
  reviveDeadCodes(x, here, { dim, threshold: 3, random })
  expect([...here.counts]).toEqual(Array(k).fill(6))
  expect(() => reviveDeadCodes(x, state(), { dim, threshold: 1, groups: 3, random })).toThrow(VqShapeError)
})
