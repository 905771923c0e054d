// FSQ and LFQ with device: 'cuda', on the device library that emulates its kernels: codes, values and gradients are the
// processor's bits, entropies those of float64 within their bound. VQ_TEST_CUDA_PATH names another library.
import {
  DeviceArray,
  device,
  fsqBoundRows,
  fsqDecode,
  fsqEncode,
  fsqEncodeAsync,
  fsqGradient,
  fsqQuantizeRows,
  lfqDecode,
  lfqEncode,
  lfqEncodeAsync,
  lfqEntropyGradient,
  lfqEntropyRows,
  lfqQuantizeRows,
  VqConfigError,
  VqShapeError,
  VqValueError,
} from '@vq/core'
import { afterEach, expect, test } from 'vitest'
import { useDeviceLibrary } from './cuda-library.js'
import { draw } from './draw.js'

useDeviceLibrary()
afterEach(() => expect(device.memory().cuda!.buffers).toBe(0))

const bits = 5
const x = draw(90 * bits, 1)
const g = draw(90 * bits, 2)

/** What a DeviceArray holds; it is disposed of. */
function taken<T extends Float32Array | Int32Array>(array: DeviceArray<T>): T {
  const values = array.read()
  array.dispose()
  return values
}

test('FSQ gives the bits of the processor, from typed arrays and from the device', async () => {
  for (const bound of ['original', 'symmetric'] as const) {
    const options = { levels: [8, 5, 4, 3, 7], bound }
    const cuda = { ...options, device: 'cuda' as const }
    const codes = fsqEncode(x, options)
    const both = fsqQuantizeRows(x, options)
    expect(both).toEqual({ indices: codes, quantized: fsqDecode(codes, options) })
    expect(fsqEncode(x, cuda)).toEqual(codes)
    expect(await fsqEncodeAsync(x, cuda)).toEqual(codes)
    expect(fsqQuantizeRows(x, cuda)).toEqual(both)
    expect(fsqBoundRows(x, cuda)).toEqual(fsqBoundRows(x, options))
    expect(fsqDecode(codes, cuda)).toEqual(both.quantized)
    expect(fsqGradient([x, g], cuda)).toEqual(fsqGradient([x, g], options))
    const rows = DeviceArray.upload(x)
    const indices = fsqEncode(rows, options)
    expect(taken(fsqDecode(indices, options))).toEqual(both.quantized)
    expect(taken(indices)).toEqual(codes)
    expect(taken(await fsqEncodeAsync(rows, options))).toEqual(codes)
    const found = fsqQuantizeRows(rows, options)
    expect([taken(found.indices), taken(found.quantized)]).toEqual([codes, both.quantized])
    expect(taken(fsqBoundRows(rows, options))).toEqual(fsqBoundRows(x, options))
    expect(taken(fsqGradient([rows, g], options))).toEqual(fsqGradient([x, g], options))
    rows.dispose()
  }
})

test('LFQ gives the bits of the processor, from typed arrays and from the device', async () => {
  const options = { dim: bits, scale: 0.25 }
  const cuda = { ...options, device: 'cuda' as const }
  const codes = lfqEncode(x, options)
  const both = lfqQuantizeRows(x, options)
  expect(both).toEqual({ indices: codes, quantized: lfqDecode(codes, options) })
  expect(lfqEncode(x, cuda)).toEqual(codes)
  expect(await lfqEncodeAsync(x, cuda)).toEqual(codes)
  expect(lfqQuantizeRows(x, cuda)).toEqual(both)
  expect(lfqDecode(codes, cuda)).toEqual(both.quantized)
  const rows = DeviceArray.upload(x)
  const found = lfqQuantizeRows(rows, options)
  expect(taken(lfqDecode(found.indices, options))).toEqual(both.quantized)
  expect([taken(found.indices), taken(found.quantized)]).toEqual([codes, both.quantized])
  expect(taken(await lfqEncodeAsync(rows, options))).toEqual(codes)
  rows.dispose()
})

/** By definition, over all codes of each group: the entropies, and the gradient of byPerSample and byOfMean of them. */
function exact(kappa: number, group: number, by: { byPerSample: number; byOfMean: number }) {
  const n = x.length / bits
  const ones = Array.from(x, v => 1 / (1 + Math.exp(-kappa * v)))
  const plogp = (p: number): number => (p > 0 ? p * Math.log(p) : 0)
  let perSample = 0
  for (const p of ones) perSample -= (plogp(p) + plogp(1 - p)) / n
  let ofMean = 0
  const gradient = Array.from(
    x,
    (v, i) => (-by.byPerSample * kappa * kappa * v * ones[i]! * (1 - ones[i]!)) / n,
  )
  for (let first = 0; first < bits; first += group) {
    const held = Math.min(group, bits - first)
    const factor = (row: number, code: number, j: number): number => {
      const p = ones[row * bits + first + j]!
      return (code >> (held - 1 - j)) & 1 ? p : 1 - p
    }
    const product = (row: number, code: number, but: number): number => {
      let p = 1
      for (let j = 0; j < held; j++) if (j !== but) p *= factor(row, code, j)
      return p
    }
    for (let code = 0; code < 2 ** held; code++) {
      let mean = 0
      for (let row = 0; row < n; row++) mean += product(row, code, -1) / n
      ofMean -= plogp(mean)
      for (let row = 0; row < n; row++)
        for (let j = 0; j < held; j++) {
          const i = row * bits + first + j
          const sign = (code >> (held - 1 - j)) & 1 ? 1 : -1
          const slope = kappa * ones[i]! * (1 - ones[i]!) * sign * product(row, code, j)
          gradient[i]! += (by.byOfMean * -(Math.log(mean) + 1) * slope) / n
        }
    }
  }
  return { perSample, ofMean, gradient }
}

test('the entropies of LFQ and their gradient are those of float64, on the processor and the device', () => {
  for (const [kappa, group] of [
    [1, 5],
    [4, 2],
  ] as const) {
    const by = { byPerSample: 0.6, byOfMean: -1.4 }
    const want = exact(kappa, group, by)
    for (const place of ['cpu', 'cuda'] as const) {
      const options = { dim: bits, kappa, group, device: place }
      const found = lfqEntropyRows(x, options)
      expect(Math.abs(found.perSample - want.perSample)).toBeLessThan(2e-6)
      expect(Math.abs(found.ofMean - want.ofMean)).toBeLessThan(2e-6)
      const gradient = lfqEntropyGradient([x, found.table], { ...options, ...by })
      expect(Math.max(...gradient.map((v, i) => Math.abs(v - want.gradient[i]!)))).toBeLessThan(1e-7)
    }
    const options = { dim: bits, kappa, group }
    const rows = DeviceArray.upload(x)
    const found = lfqEntropyRows(rows, options)
    const travelled = lfqEntropyRows(x, { ...options, device: 'cuda' })
    expect([found.perSample, found.ofMean]).toEqual([travelled.perSample, travelled.ofMean])
    const gradient = lfqEntropyGradient([rows, found.table], { ...options, ...by })
    expect(taken(gradient)).toEqual(
      lfqEntropyGradient([x, travelled.table], { ...options, ...by, device: 'cuda' }),
    )
    expect(taken(found.table)).toEqual(travelled.table)
    rows.dispose()
  }
})

test('the gradient of FSQ is that of its bound, by differences', () => {
  const options = { levels: [8, 5, 4, 3, 7] }
  const slope = fsqGradient([x, new Float32Array(x.length).fill(1)], options)
  const h = 2 ** -6
  const [above, below] = [h, -h].map(d =>
    fsqBoundRows(
      x.map(v => v + d),
      options,
    ),
  )
  for (const [i, s] of slope.entries())
    expect(Math.abs((above![i]! - below![i]!) / (2 * h) - s)).toBeLessThan(3e-4)
})

test('errors are those of the processor', () => {
  const bad = x.slice()
  bad[33 * bits + 2] = Number.NaN
  const levels = [8, 5, 4, 3, 7]
  for (const place of ['cpu', 'cuda'] as const) {
    for (const call of [
      () => fsqEncode(bad, { levels, device: place }),
      () => lfqEncode(bad, { dim: bits, device: place }),
      () => lfqEntropyRows(bad, { dim: bits, kappa: 1, device: place }),
    ]) {
      expect(call).toThrow(VqValueError)
      expect(call).toThrow('row 33 has no code: it holds a NaN at element 2')
    }
    expect(() => fsqDecode(Int32Array.of(3360), { levels, device: place })).toThrow(VqValueError)
    expect(() => fsqEncode(x, { levels: [2, 2], device: place })).not.toThrow()
    expect(() => fsqEncode(x, { levels: [2, 2, 2, 2], device: place })).toThrow(VqShapeError)
    expect(() => fsqGradient([x, g.slice(1)], { levels, device: place })).toThrow(VqShapeError)
    expect(() => lfqEntropyRows(new Float32Array(0), { dim: 2, kappa: 1, device: place })).toThrow(
      VqShapeError,
    )
    expect(() => lfqEntropyRows(x, { dim: bits, kappa: 0, device: place })).toThrow(VqConfigError)
    expect(() => lfqEntropyRows(x, { dim: bits, kappa: 1, group: 27, device: place })).toThrow(VqConfigError)
    const gradient = { dim: bits, kappa: 1, byPerSample: 1, byOfMean: 1, device: place }
    expect(() => lfqEntropyGradient([x, new Float32Array(31)], gradient)).toThrow(VqShapeError)
  }
  const outside = DeviceArray.upload(Int32Array.of(0, 99, -1))
  expect(() => lfqDecode(outside, { dim: 5 })).toThrow('index 99 of row 1 is outside the 32 codes')
  expect(() => fsqDecode(outside, { levels: [3, 3] })).toThrow('index 99 of row 1 is outside the 9 codes')
  outside.dispose()
})
