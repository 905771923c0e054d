import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { VqConfigError, VqShapeError, VqValueError } from '@vq/core'
import {
  type FloatType,
  loadSafetensors,
  openSafetensors,
  type StateDict,
  type StoredTensor,
  saveSafetensors,
} from '@vq/core/io'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

const python = process.env.VQ_PYTHON ?? 'python3'
const hasTorch = spawnSync(python, ['-c', 'import safetensors.torch']).status === 0
const fixture = new URL('fixtures/element-types.safetensors', import.meta.url).pathname
const torchTypes = ['F8_E4M3', 'F8_E5M2', 'F8_E4M3FNUZ', 'F8_E5M2FNUZ', 'F8_E8M0', 'F16', 'BF16'] as const
let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'vq-types-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

/** The bytes of the only tensor that a file of these values as that type has. */
async function written(data: Float32Array | Float64Array, floats: FloatType): Promise<Buffer> {
  const path = join(folder, 'written')
  const dtype = data instanceof Float32Array ? 'F32' : 'F64'
  await saveSafetensors(path, { x: { dtype, shape: [data.length], data } }, {}, { floats })
  const bytes = readFileSync(path)
  return bytes.subarray(8 + Number(bytes.readBigUInt64LE()))
}

/** A file of one tensor of given bytes. */
function raw(dtype: string, shape: number[], bytes: Uint8Array): string {
  const header = Buffer.from(JSON.stringify({ x: { dtype, shape, data_offsets: [0, bytes.length] } }))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(header.length))
  const path = join(folder, 'raw')
  writeFileSync(path, Buffer.concat([length, header, bytes]))
  return path
}

async function read(dtype: string, shape: number[], bytes: Uint8Array): Promise<StoredTensor> {
  return (await loadSafetensors(raw(dtype, shape, bytes))).tensors.x
}

const words = (bytes: Uint8Array): Uint16Array => new Uint16Array(new Uint8Array(bytes).buffer)
const allHalves = new Uint8Array(Uint16Array.from({ length: 65536 }, (_, i) => i).buffer)
// Differences only: an array of 65,536 equal things takes long to compare.
function differing(a: ArrayLike<number>, b: ArrayLike<number>): unknown[] {
  const found: unknown[] = a.length === b.length ? [] : ['length']
  for (let i = 0; i < a.length && found.length < 9; i++)
    if (!Object.is(a[i], b[i])) found.push([i, a[i], b[i]])
  return found
}

// PyTorch rounds float32's subnormals up to 2^-126 as E8M0, where 2^-127 is nearer.
const odd = (dtype: string, value: number): boolean =>
  dtype === 'F8_E8M0' && value > 2 ** -127 && value < 1.5 * 2 ** -127

describe('types of floats', () => {
  it.each(torchTypes)('%s is read and rounded as by PyTorch (a file of its own making)', async dtype => {
    const { tensors } = await loadSafetensors(fixture)
    expect(tensors[dtype].dtype).toBe(dtype)
    expect(
      differing(tensors[dtype].data as Float32Array, tensors[`${dtype}.wide`].data as Float32Array),
    ).toEqual([])
    const source = tensors.source.data as Float32Array
    const expected = tensors[`${dtype}.narrow`].data as Uint8Array
    // E8M0 has no signs: PyTorch drops them, we refuse them.
    const count = dtype === 'F8_E8M0' ? source.length / 2 : source.length
    const bytes = await written(source.subarray(0, count), dtype)
    const width = expected.length / source.length
    const wrong: unknown[] = []
    for (let i = 0; i < count; i++) {
      const [ours, theirs] = [bytes, expected].map(b => Buffer.from(b.subarray(i * width, (i + 1) * width)))
      // Which NaN it is, is our own choice.
      if (!ours.equals(theirs) && !Number.isNaN(source[i]) && !odd(dtype, source[i]))
        wrong.push([i, source[i], ours, theirs])
    }
    expect(wrong).toEqual([])
    const nans = (await read(dtype, [count], bytes)).data as Float32Array
    expect(source.subarray(0, count).findIndex((v, i) => Number.isNaN(v) && !Number.isNaN(nans[i]))).toBe(-1)
  })

  it('F16 and BF16: every one of the 65,536 comes back, with its NaN payload', async () => {
    const half = (h: number): number => {
      const [exponent, fraction] = [(h >> 10) & 31, h & 1023]
      const size = exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15)
      const value = exponent < 31 ? size : fraction === 0 ? Infinity : Number.NaN
      return h & 0x8000 ? -value : value
    }
    const brain = (b: number): number => Buffer.from([0, 0, b & 255, b >> 8]).readFloatLE()
    for (const [dtype, value] of [
      ['F16', half],
      ['BF16', brain],
    ] as const) {
      const { data } = await read(dtype, [65536], allHalves)
      expect(
        differing(
          data as Float32Array,
          Float32Array.from({ length: 65536 }, (_, i) => value(i)),
        ),
      ).toEqual([])
      expect(differing(words(await written(data as Float32Array, dtype)), words(allHalves))).toEqual([])
    }
  })

  it.each(['F16', 'BF16'] as const)(
    '%s: between any two neighbours the nearer is taken, the even one at the middle',
    async dtype => {
      const { data } = await read(dtype, [65536], allHalves)
      const values = data as Float32Array
      const last = dtype === 'F16' ? 0x7c00 : 0x7f80
      const source = new Float64Array(last * 3)
      const expected = new Uint16Array(last * 3)
      for (let i = 0; i < last; i++) {
        // What would come after the largest is where infinity begins.
        const above = i + 1 < last ? values[i + 1] : dtype === 'F16' ? 65536 : 2 ** 128
        const middle = (values[i] + above) / 2
        source.set([middle * (1 - 2 ** -50), middle, middle * (1 + 2 ** -50)], 3 * i)
        expected.set([i, i + (i & 1), i + 1], 3 * i)
      }
      expect(differing(words(await written(source, dtype)), expected)).toEqual([])
      // And −, from float32, where the middle is exact.
      const middles = Float32Array.from({ length: last }, (_, i) => -source[3 * i + 1])
      const even = expected.filter((_, i) => i % 3 === 1).map(code => code | 0x8000)
      // The smallest bfloat16 has no float32 below its middle, but its middle is one.
      expect(differing(words(await written(middles, dtype)), even)).toEqual([])
    },
  )

  it('F4 and F6 have the values of OCP MX 1.0, packed low bits first', async () => {
    const f4 = [0, 0.5, 1, 1.5, 2, 3, 4, 6]
    const codes = Uint8Array.from({ length: 8 }, (_, i) => (2 * i) | ((2 * i + 1) << 4))
    const four = await read('F4', [2, 8], codes)
    expect([...four.data]).toEqual([...f4, ...f4.map(v => -v)])
    // 6 bits: codes 1, 2, 3, 32 | 31, 63, 8, 0
    const groups = [1 | (2 << 6) | (3 << 12) | (32 << 18), 31 | (63 << 6) | (8 << 12)]
    const six = Uint8Array.from(groups.flatMap(g => [g, g >> 8, g >> 16]))
    expect([...(await read('F6_E2M3', [8], six)).data]).toEqual([0.125, 0.25, 0.375, -0, 7.5, -7.5, 1, 0])
    expect([...(await read('F6_E3M2', [8], six)).data]).toEqual(
      [0.0625, 0.125, 0.1875, -0, 28, -28, 1, 0].map((v, i) => (i === 6 ? 0.5 : v)),
    )
  })

  it.each(['F4', 'F6_E2M3', 'F6_E3M2'] as const)(
    '%s rounds to the nearest, ties to even, saturates, and refuses NaN',
    async dtype => {
      const bits = dtype === 'F4' ? 4 : 6
      const count = 2 ** (bits - 1)
      const packed = (codes: number[]): Buffer => {
        const all = codes.reduce((sum, code, i) => sum | (BigInt(code) << BigInt(bits * i)), 0n)
        const bytes = Buffer.alloc((codes.length * bits) / 8)
        for (let i = 0; i < bytes.length; i++) bytes[i] = Number((all >> BigInt(8 * i)) & 255n)
        return bytes
      }
      const codes = Array.from({ length: count * 2 }, (_, i) => i)
      const { data } = await read(dtype, [codes.length], packed(codes))
      expect(await written(data as Float32Array, dtype)).toEqual(packed(codes))
      const values = [...data].map(Number)
      const source: number[] = []
      const expected: number[] = []
      for (let i = 0; i + 1 < count; i++) {
        const middle = (values[i] + values[i + 1]) / 2
        source.push(middle * (1 - 2 ** -20), middle, middle * (1 + 2 ** -20), -middle)
        expected.push(i, i + (i & 1), i + 1, (i + (i & 1)) | count)
      }
      source.push(1e30, -1e30, values[count - 1] * 1.01, 1e-40)
      expected.push(count - 1, 2 * count - 1, count - 1, 0)
      expect(await written(Float32Array.from(source), dtype)).toEqual(packed(expected))
      for (const bad of [Number.NaN, Infinity])
        await expect(written(Float32Array.of(0, 0, 0, bad), dtype)).rejects.toThrow(VqValueError)
      await expect(written(new Float32Array(3), dtype)).rejects.toThrow(VqShapeError)
    },
  )

  it('F8_E8M0 refuses what is below zero', async () => {
    await expect(written(Float32Array.of(1, -1), 'F8_E8M0')).rejects.toThrow(
      /'x' as F8_E8M0: expected no negative numbers.*received -1/,
    )
  })

  it('rounds float64 once, not by way of float32', async () => {
    // By float32 the last bit is lost, and the tie goes to 1.
    const bytes = await written(
      Float64Array.of(1 + 2 ** -11 + 2 ** -40, 1 + 2 ** -9 + 2 ** -40, -1e300, 5e-324),
      'F16',
    )
    expect([...words(bytes)]).toEqual([0x3c01, 0x3c02, 0xfc00, 0])
    const tie = await written(Float64Array.of(1 + 2 ** -4 + 2 ** -40), 'F8_E4M3')
    expect([...tie]).toEqual([0x39])
  })

  it.skipIf(!hasTorch)(
    'rounds random floats of all sizes as PyTorch does (skipped where Python lacks torch)',
    async () => {
      const count = 1 << 18
      const bits = new Uint32Array(count)
      for (let i = 0, a = 1; i < count; i++) {
        a = (Math.imul(a, 1664525) + 1013904223) >>> 0
        bits[i] = a ^ (a >>> 13)
      }
      const path = join(folder, 'random')
      await saveSafetensors(path, {
        x: { dtype: 'F32', shape: [count], data: new Float32Array(bits.buffer) },
      })
      const code = `
import sys, torch
from safetensors.torch import load_file, save_file
x = load_file(sys.argv[1])['x']
types = {'F8_E4M3': torch.float8_e4m3fn, 'F8_E5M2': torch.float8_e5m2, 'F8_E4M3FNUZ': torch.float8_e4m3fnuz,
  'F8_E5M2FNUZ': torch.float8_e5m2fnuz, 'F8_E8M0': torch.float8_e8m0fnu, 'F16': torch.float16, 'BF16': torch.bfloat16}
save_file({k: (x.abs() if k == 'F8_E8M0' else x).to(t).float() for k, t in types.items()}, sys.argv[1] + '.out')`
      execFileSync(python, ['-c', code, path])
      const { tensors } = await loadSafetensors(`${path}.out`)
      for (const dtype of torchTypes) {
        const source = new Float32Array(bits.buffer)
        const values = dtype === 'F8_E8M0' ? source.map(Math.abs) : source
        const fair = (found: Float32Array): Float32Array => found.filter((_, i) => !odd(dtype, values[i]))
        const { data } = await read(dtype, [count], await written(values, dtype))
        expect([
          dtype,
          differing(fair(data as Float32Array), fair(tensors[dtype].data as Float32Array)),
        ]).toEqual([dtype, []])
      }
    },
  )
})

describe('saving', () => {
  const every: StateDict = {
    bool: { dtype: 'BOOL', shape: [2], data: Uint8Array.of(0, 1) },
    i8: { dtype: 'I8', shape: [1], data: Int8Array.of(-128) },
    u16: { dtype: 'U16', shape: [1], data: Uint16Array.of(65535) },
    i16: { dtype: 'I16', shape: [1], data: Int16Array.of(-32768) },
    u32: { dtype: 'U32', shape: [1], data: Uint32Array.of(2 ** 32 - 1) },
    u64: { dtype: 'U64', shape: [1], data: BigUint64Array.of(2n ** 64n - 1n) },
    f64: { dtype: 'F64', shape: [1, 1], data: Float64Array.of(0.1) },
    c64: { dtype: 'C64', shape: [1], data: Float32Array.of(1, -2) },
    f4: { dtype: 'F4', shape: [2], data: Float32Array.of(0.5, -6) },
  }

  it('gives back every type, and leaves all but floats as they are where these become another', async () => {
    const path = join(folder, 'every')
    await saveSafetensors(path, every)
    expect({ ...(await loadSafetensors(path)).tensors }).toEqual(every)
    await saveSafetensors(path, every, {}, { floats: 'BF16' })
    expect({ ...(await loadSafetensors(path)).tensors }).toEqual({
      ...every,
      f64: { dtype: 'BF16', shape: [1, 1], data: Float32Array.of(0.10009765625) },
      f4: { dtype: 'BF16', shape: [2], data: Float32Array.of(0.5, -6) },
    })
  })

  it('writes what it read to the same bytes: a file of the Python package', async () => {
    const path = join(folder, 'again')
    const file = await openSafetensors(fixture)
    await saveSafetensors(path, file)
    await file.close()
    expect(readFileSync(path).equals(readFileSync(fixture))).toBe(true)
  })

  it('refuses arrays, values, types and names that do not fit', async () => {
    const save = (tensor: unknown, name = 'x', options = {}): Promise<void> =>
      saveSafetensors(join(folder, 'no'), { [name]: tensor as StoredTensor }, {}, options)
    await expect(save({ dtype: 'I8', shape: [1], data: new Uint8Array(1) })).rejects.toThrow(VqShapeError)
    await expect(save({ dtype: 'C64', shape: [1], data: new Float32Array(1) })).rejects.toThrow(VqShapeError)
    await expect(save({ dtype: 'F16', shape: [1], data: new Uint16Array(1) })).rejects.toThrow(VqShapeError)
    await expect(save({ dtype: 'F16', shape: [-1], data: new Float32Array(1) })).rejects.toThrow(VqShapeError)
    await expect(save({ dtype: 'F99', shape: [1], data: new Float32Array(1) })).rejects.toThrow(VqShapeError)
    await expect(save(null)).rejects.toThrow(VqShapeError)
    await expect(save({ dtype: 'BOOL', shape: [1], data: Uint8Array.of(2) })).rejects.toThrow(VqValueError)
    await expect(save({ dtype: 'C128', shape: [0], data: new Float64Array(0) })).rejects.toThrow(
      VqConfigError,
    )
    await expect(save(every.f4, '__metadata__')).rejects.toThrow(VqConfigError)
    await expect(save(every.f4, '\ud800')).rejects.toThrow(VqConfigError)
    await expect(save(every.f4, 'x', { floats: 'I8' })).rejects.toThrow(VqConfigError)
  })
})
