import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { VqFormatError, VqShapeError, VqValueError } from '@vq/core'
import { loadNpy, npyBytes, parseNpy, type StoredTensor, saveNpy } from '@vq/core/io'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

const python = process.env.VQ_PYTHON ?? 'python3'
const hasNumpy = spawnSync(python, ['-c', 'import numpy']).status === 0
const shared = new URL('../../../../shared/data/vectors/lfw_subset.npy', import.meta.url).pathname
let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'vq-npy-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

/** A file of version 1.0, or of what is given, as bytes. */
function npy(header: string, data: readonly number[] = [], version = 1, length?: number): Uint8Array {
  const text = Buffer.from(header)
  const head = Buffer.alloc(version === 1 ? 10 : 12)
  head.set([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, version, 0])
  if (version === 1) head.writeUInt16LE(length ?? text.length, 8)
  else head.writeUInt32LE(length ?? text.length, 8)
  return Buffer.concat([head, text, Buffer.from(data)])
}

const fields = (descr: string, shape: string, fortran = 'False'): string =>
  `{'descr': ${descr}, 'fortran_order': ${fortran}, 'shape': ${shape}, }\n`

const hex = ({ data }: StoredTensor): string =>
  Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('hex')

describe('npy', () => {
  it('reads either byte order, each version and both orders of axes', () => {
    const big = parseNpy(npy(fields("'>i2'", '(2,)'), [1, 2, 255, 254]), 'x')
    expect(big).toEqual({ dtype: 'I16', shape: [2], data: Int16Array.of(258, -2) })
    const columns = parseNpy(npy(fields("'|u1'", '(2, 3)', 'True'), [1, 4, 2, 5, 3, 6], 2), 'x')
    expect(columns).toEqual({ dtype: 'U8', shape: [2, 3], data: Uint8Array.of(1, 2, 3, 4, 5, 6) })
    const scalar = parseNpy(npy(fields('"<f2"', '()'), [0, 0x3c], 3), 'x')
    expect(scalar).toEqual({ dtype: 'F16', shape: [], data: Float32Array.of(1) })
    const complex = parseNpy(npy(fields("'>c8'", '(1L,)'), [63, 128, 0, 0, 192, 0, 0, 0]), 'x')
    expect(complex).toEqual({ dtype: 'C64', shape: [1], data: Float32Array.of(1, -2) })
  })

  it('reads from a view at any offset', () => {
    const bytes = npy(fields("'<f8'", '(1,)'), [0, 0, 0, 0, 0, 0, 0xf8, 0x3f])
    const shifted = new Uint8Array(bytes.length + 3)
    shifted.set(bytes, 3)
    expect([...parseNpy(shifted.subarray(3), 'x').data]).toEqual([1.5])
  })

  it('gives back what it wrote; floats that NumPy lacks as float32', async () => {
    const cases: StoredTensor[] = [
      { dtype: 'BOOL', shape: [2], data: Uint8Array.of(1, 0) },
      { dtype: 'U64', shape: [], data: BigUint64Array.of(2n ** 64n - 1n) },
      { dtype: 'F16', shape: [1, 2], data: Float32Array.of(0.5, -0) },
      { dtype: 'C128', shape: [1], data: Float64Array.of(0.1, -1e300) },
      { dtype: 'F32', shape: [0, 3], data: new Float32Array(0) },
    ]
    for (const tensor of cases) {
      await saveNpy(join(folder, 'a.npy'), tensor)
      expect(await loadNpy(join(folder, 'a.npy'))).toEqual(tensor)
    }
    const brain: StoredTensor = { dtype: 'BF16', shape: [2], data: Float32Array.of(1, Number.NaN) }
    expect(parseNpy(npyBytes(brain), 'x')).toEqual({ ...brain, dtype: 'F32' })
  })

  it('writes the header as NumPy does', () => {
    const bytes = npyBytes({ dtype: 'F32', shape: [1], data: Float32Array.of(1) })
    expect(bytes.length).toBe(128 + 4)
    expect(Buffer.from(bytes.subarray(6, 128)).toString('latin1')).toBe(
      `\x01\x00v\x00${"{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }".padEnd(117)}\n`,
    )
  })

  it.skipIf(!hasNumpy)(
    'agrees with NumPy for every type and order (skipped where Python lacks NumPy)',
    () => {
      const code = `
import numpy as np, sys, json, io
from numpy.lib import format as f
random = np.random.default_rng(0)
n, out = 0, []
for t in ['?','u1','i1','u2','i2','u4','i4','u8','i8','f2','f4','f8','c8','c16']:
  for order in '<>':
    for shape in [(), (3,), (2, 3), (2, 3, 4), (0, 5)]:
      for columns in [0, 1]:
        bytes = random.integers(0, 2 if t == '?' else 256, size=int(np.prod(shape)) * np.dtype(t).itemsize, dtype=np.uint8)
        a = bytes.view(np.dtype(t).newbyteorder(order)).reshape(shape)
        if columns: a = np.asfortranarray(a)
        h = io.BytesIO(); n += 1
        f.write_array(h, a, version=[(1, 0), (2, 0), (3, 0)][n % 3])
        plain = a.astype(a.dtype.newbyteorder('<'))
        again = io.BytesIO(); f.write_array(again, np.ascontiguousarray(plain).reshape(a.shape), version=(1, 0))
        out.append([h.getvalue().hex(), list(a.shape), plain.tobytes().hex(), again.getvalue().hex()])
print(json.dumps(out))`
      const text = execFileSync(python, ['-c', code], { encoding: 'utf8', maxBuffer: 1 << 28 })
      const cases: [string, number[], string, string][] = JSON.parse(text)
      expect(cases.length).toBe(280)
      for (const [file, shape, values, again] of cases) {
        const tensor = parseNpy(Buffer.from(file, 'hex'), 'x')
        expect(tensor.shape).toEqual(shape)
        if (tensor.dtype !== 'F16') expect(hex(tensor)).toBe(values)
        // What we write is NumPy's own bytes, so F16 agrees too.
        expect(Buffer.from(npyBytes(tensor)).toString('hex')).toBe(again)
      }
    },
  )

  it.skipIf(!existsSync(shared))(
    'reads a file of NumPy (skipped where ../shared/data is absent)',
    async () => {
      const { dtype, shape, data } = await loadNpy(shared)
      expect([dtype, shape]).toEqual(['F64', [200, 25, 25]])
      const bytes = readFileSync(shared)
      expect(data[124_999]).toBe(bytes.readDoubleLE(bytes.length - 8))
    },
  )
})

describe('a npy file that is not what it claims', () => {
  const ok = fields("'|u1'", '(2,)')
  it.each<[string, () => Uint8Array, RegExp]>([
    ['nothing', () => new Uint8Array(0), /signature/],
    ['another signature', () => Buffer.from('\x93NUMPZ\x01\x00\x00\x00', 'latin1'), /signature/],
    ['version 4', () => npy(ok, [1, 2], 4), /version 1.0, 2.0 or 3.0/],
    ['a header cut off', () => npy(ok, [], 1, 500), /a header of at most/],
    ['a header of 4 GiB', () => npy(ok, [], 2, 2 ** 32 - 1), /one of 4294967295 bytes/],
    ['no dictionary', () => npy('(1, 2)'), /a dictionary of/],
    ['code', () => npy('__import__("os").abort()'), /Python dictionary/],
    [
      'a fourth field',
      () => npy("{'descr': '<f4', 'fortran_order': False, 'shape': (), 'x': 1}"),
      /a dictionary of/,
    ],
    [
      'a key twice',
      () => npy("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': ()}"),
      /new string/,
    ],
    ['deep lists', () => npy('['.repeat(50_000)), /levels/],
    ['something after', () => npy(`${ok.trim()} 1`, [1, 2]), /nothing more/],
    ['objects', () => npy(fields("'|O'", '(1,)')), /numbers: .*'\|O'/],
    ['strings', () => npy(fields("'<U5'", '(1,)')), /numbers/],
    ['dates', () => npy(fields("'<M8[ns]'", '(1,)')), /numbers/],
    ['structures', () => npy(fields("[('a', '<f4')]", '(1,)')), /a structure/],
    ['long doubles', () => npy(fields("'<f16'", '(1,)')), /numbers/],
    ['a negative size', () => npy(fields("'<f4'", '(-1,)')), /a shape/],
    ['minus zero', () => npy(fields("'<f4'", '(-0,)')), /a value/],
    ['a size that is no whole number', () => npy(fields("'<f4'", '(1.0,)')), /, or \)|a value/],
    ['10^15 values', () => npy(fields("'|u1'", '(1000000000000000,)'), [1]), /1000000000000000 bytes/],
    [
      'a product beyond all integers',
      () => npy(fields("'|u1'", '(9007199254740991, 9007199254740991)')),
      /NaN bytes/,
    ],
    ['65 axes', () => npy(fields("'|u1'", `(${'1, '.repeat(65)})`), [1]), /a shape/],
    ['values cut off', () => npy(ok, [1]), /2 bytes of U8/],
    ['values too many', () => npy(ok, [1, 2, 3]), /2 bytes of U8/],
    ['booleans of 2', () => npy(fields("'|b1'", '(1,)'), [2]), /0 and 1/],
  ])('is refused: %s', async (_, make, message) => {
    const path = join(folder, 'bad.npy')
    writeFileSync(path, make())
    for (const error of [await loadNpy(path).catch(e => e), outcome(make)]) {
      expect(error).toBeInstanceOf(VqFormatError)
      expect(error.message).toMatch(message)
    }
  })

  const outcome = (make: () => Uint8Array): unknown => {
    try {
      return parseNpy(make(), 'x')
    } catch (error) {
      return error
    }
  }

  it('is refused as a folder, a missing file or a tensor of the wrong array', async () => {
    const missing = await loadNpy(join(folder, 'none.npy')).catch(e => e)
    expect(missing).toBeInstanceOf(VqFormatError)
    expect(missing.cause.code).toBe('ENOENT')
    await expect(loadNpy(folder)).rejects.toThrow(/a folder/)
    expect(() => npyBytes({ dtype: 'F32', shape: [2], data: new Float32Array(1) })).toThrow(VqShapeError)
    expect(() => npyBytes({ dtype: 'I8', shape: [1], data: new Uint8Array(1) })).toThrow(VqShapeError)
    expect(() => npyBytes({ dtype: 'BOOL', shape: [1], data: Uint8Array.of(2) })).toThrow(VqValueError)
  })
})
