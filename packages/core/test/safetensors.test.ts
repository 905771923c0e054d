import { execFileSync, spawnSync } from 'node:child_process'
import {
  chmodSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Random, tf, VqFormatError } from '@vq/core'
import { loadSafetensors, type StateDict, saveSafetensors, toTensor } from '@vq/core/io'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

const python = process.env.VQ_PYTHON ?? 'python3'
const hasSafetensors = spawnSync(python, ['-c', 'import safetensors.numpy']).status === 0
const fixture = new URL('fixtures/python.safetensors', import.meta.url).pathname
let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'vq-safetensors-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

function file(header: string | Buffer | object, data: number[] = [], length?: number): string {
  const made = typeof header === 'string' || Buffer.isBuffer(header) ? header : JSON.stringify(header)
  const text = Buffer.from(made as string)
  const size = Buffer.alloc(8)
  size.writeBigUInt64LE(BigInt(length ?? text.length))
  const path = join(folder, 'made.safetensors')
  writeFileSync(path, Buffer.concat([size, text, Buffer.from(data)]))
  return path
}

function cut(path: string, bytes: number): string {
  writeFileSync(path, readFileSync(path).subarray(0, bytes))
  return path
}

const sample: StateDict = {
  b: {
    dtype: 'F32',
    shape: [2, 3],
    data: Float32Array.of(1, -2.5, 0, Number.NaN, Number.POSITIVE_INFINITY, 1e-40),
  },
  n: { dtype: 'I64', shape: [], data: BigInt64Array.of(-(2n ** 60n)) },
  i: { dtype: 'I32', shape: [2], data: Int32Array.of(7, -8) },
  u: { dtype: 'U8', shape: [3], data: Uint8Array.of(0, 128, 255) },
  t: { dtype: 'BOOL', shape: [2], data: Uint8Array.of(1, 0) },
  empty: { dtype: 'F32', shape: [0, 5], data: new Float32Array(0) },
}

describe('safetensors', () => {
  it('gives back what was saved, bit for bit, with metadata and nothing left beside it', async () => {
    const path = join(folder, 'sub/round.safetensors')
    await saveSafetensors(path, sample, { format: 'pt' })
    const { tensors, metadata } = await loadSafetensors(path)
    expect({ ...tensors }).toEqual(sample)
    expect({ ...metadata }).toEqual({ format: 'pt' })
    expect(readdirSync(join(folder, 'sub'))).toEqual(['round.safetensors'])
  })

  it('takes and gives tfjs tensors', async () => {
    expect(tf.getBackend()).toBe('vq-cpu')
    const path = join(folder, 'tensors.safetensors')
    const x = tf.tensor2d([[1, 2, 3]])
    await saveSafetensors(path, { x })
    const back = toTensor((await loadSafetensors(path)).tensors.x)
    expect([back.shape, [...back.dataSync()]]).toEqual([
      [1, 3],
      [1, 2, 3],
    ])
    expect(() => toTensor(sample.n)).toThrow(/I64 values that fit 32 bits/)
  })

  it('saves what it loaded to the same bytes, for any names and shapes', async () => {
    const shape = fc.array(fc.nat(4), { maxLength: 3 })
    await fc.assert(
      fc.asyncProperty(fc.dictionary(fc.string({ minLength: 1 }), shape), fc.nat(), async (shapes, seed) => {
        const made: StateDict = Object.create(null)
        for (const [name, dims] of Object.entries(shapes)) {
          if (name === '__metadata__') continue
          const data = new Random(seed).fillNormal(new Float32Array(dims.reduce((a, b) => a * b, 1)))
          made[name] = { dtype: 'F32', shape: dims, data }
        }
        const [first, second] = [join(folder, '1'), join(folder, '2')]
        await saveSafetensors(first, made)
        const { tensors } = await loadSafetensors(first)
        await saveSafetensors(second, tensors)
        expect(readFileSync(second).equals(readFileSync(first))).toBe(true)
        expect({ ...tensors }).toEqual({ ...made })
      }),
      { numRuns: 30 },
    )
  })

  it('reads a file of the Python package, halves included', async () => {
    const { tensors } = await loadSafetensors(fixture)
    expect([...tensors.f32.data]).toEqual([0.5, -1.25, 3e-41, 65504].map(Math.fround))
    expect([...tensors.f16.data]).toEqual([0.5, -1.25, 2 ** -24, 65504, Infinity, -0])
    expect([...tensors.bf16.data]).toEqual([0.5, -1.25, 3.3895313892515355e38])
    expect(tensors.i64).toEqual({ dtype: 'I64', shape: [], data: BigInt64Array.of(12n) })
    expect(tensors.flag).toEqual({ dtype: 'BOOL', shape: [2], data: Uint8Array.of(1, 0) })
  })

  it.skipIf(!hasSafetensors)(
    'is read by the Python package (skipped where Python lacks safetensors)',
    async () => {
      const path = join(folder, 'to-python.safetensors')
      await saveSafetensors(path, sample)
      const code = `
import sys, json, numpy as np
from safetensors.numpy import load_file
print(json.dumps({k: [str(v.dtype), list(v.shape), v.tobytes().hex()] for k, v in load_file(sys.argv[1]).items()}))`
      const seen = JSON.parse(execFileSync(python, ['-c', code, path], { encoding: 'utf8' }))
      const types: Record<string, string> = {
        F32: 'float32',
        I32: 'int32',
        I64: 'int64',
        U8: 'uint8',
        BOOL: 'bool',
      }
      for (const [name, { dtype, shape, data }] of Object.entries(sample)) {
        const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('hex')
        expect(seen[name]).toEqual([types[dtype], shape, bytes])
      }
    },
  )
})

describe('a file that is not what it claims', () => {
  const entry = (shape: unknown, offsets: unknown, dtype: unknown = 'U8'): object => ({
    dtype,
    shape,
    data_offsets: offsets,
  })
  const names = (): string =>
    Array.from({ length: 1_000_001 }, (_, i) => `"${i}":0`)
      .join()
      .replace(/^/, '"a":{')
      .concat('}')
  const one = '"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}'
  const twice = `{${one},${one}}`
  it.each<[string, () => string, RegExp]>([
    ['nothing', () => cut(file('{}'), 4), /at least 8 bytes/],
    ['a header longer than the file', () => file('{}', [], 1e6), /a header of 1000000 bytes/],
    ['a header of 2^63 bytes', () => file('{}', [], 2 ** 62), /a header within/],
    ['no JSON', () => file('{"a":'), /'a' to be an object/],
    ['a list', () => file('[]'), /a JSON object/],
    ['data cut off', () => file({ a: entry([4], [0, 4]) }, [1, 2]), /4 bytes of data/],
    ['bytes that belong to nothing', () => file({ a: entry([1], [0, 1]) }, [1, 2]), /1 bytes of data/],
    ['overlaps', () => file({ a: entry([2], [0, 2]), b: entry([2], [1, 3]) }, [1, 2, 3]), /begin at byte 2/],
    ['holes', () => file({ a: entry([1], [0, 1]), b: entry([1], [2, 3]) }, [1, 2, 3]), /begin at byte 1/],
    [
      'a size that is not the shape’s',
      () => file({ a: entry([3], [0, 2]) }, [1, 2]),
      /the 3 bytes of its shape/,
    ],
    ['an enormous shape', () => file({ a: entry([2 ** 50, 2 ** 50], [0, 2]) }, [1, 2]), /of its shape/],
    ['a negative size', () => file({ a: entry([-1], [0, 1]) }, [1]), /a whole number of at least 0/],
    ['offsets backwards', () => file({ a: entry([1], [1, 0]) }, [1]), /of its shape/],
    ['three offsets', () => file({ a: entry([1], [0, 1, 2]) }, [1]), /two offsets/],
    ['an unknown type', () => file({ a: entry([1], [0, 1], 'F8') }, [1]), /to be of type/],
    ['a type that is a number', () => file({ a: entry([1], [0, 1], 8) }, [1]), /to be of type/],
    ['C128, which the format lacks', () => file({ a: entry([0], [0, 0], 'C128') }), /to be of type/],
    ['a type named like a method', () => file({ a: entry([1], [0, 1], 'toString') }, [1]), /to be of type/],
    ['flags other than 0 and 1', () => file({ a: entry([1], [0, 1], 'BOOL') }, [2]), /0 and 1/],
    ['a half of a byte', () => file({ a: entry([3], [0, 2], 'F4') }, [1, 2]), /a whole number/],
    ['two of a name', () => file(twice, [1]), /each name once.*"a" twice/],
    [
      'two of a name, one in escapes',
      () => file(twice.replace('"a"', String.raw`"\u0061"`), [1]),
      /"a" twice/,
    ],
    ['metadata with two of a name', () => file('{"__metadata__":{"a":"b","a":"c"}}'), /"a" twice/],
    ['a field twice', () => file('{"a":{"dtype":"U8","dtype":"U8"}}'), /"dtype" twice/],
    [
      'minus zero',
      () => file('{"a":{"dtype":"U8","shape":[1],"data_offsets":[-0,1]}}', [1]),
      /a whole number/,
    ],
    [
      'a fraction',
      () => file('{"a":{"dtype":"U8","shape":[1.0],"data_offsets":[0,1]}}', [1]),
      /a whole number/,
    ],
    [
      'an exponent',
      () => file('{"a":{"dtype":"U8","shape":[1e0],"data_offsets":[0,1]}}', [1]),
      /a whole number/,
    ],
    [
      'a leading zero',
      () => file('{"a":{"dtype":"U8","shape":[01],"data_offsets":[0,1]}}', [1]),
      /a whole number/,
    ],
    [
      'sizes beyond all integers',
      () => file('{"a":{"dtype":"U8","shape":[1e400,18446744073709551616]}}'),
      /a whole number/,
    ],
    [
      'an unpaired surrogate',
      () => file(String.raw`{"\ud800":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}`),
      /surrogates/,
    ],
    ['a space before the header', () => file(' {}'), /a JSON object/],
    ['a byte order mark', () => file('\ufeff{}'), /a JSON object/],
    ['more after the header', () => file('{} {}'), /nothing more/],
    ['bytes that are no UTF-8', () => file(Buffer.from([0x7b, 0xff, 0x7d])), /UTF-8/],
    ['lists without end', () => file(`{"a":{"b":${'['.repeat(1e6)}`), /128 levels/],
    ['objects without end', () => file(`{"a":${'{"a":'.repeat(1e6)}`), /128 levels/],
    ['shapes without end', () => file(`{"a":{"shape":${'['.repeat(1e6)}`), /a whole number/],
    ['more sizes than any tensor has', () => file(`{"a":{"shape":[1${',1'.repeat(1000)}]}}`), /1000 sizes/],
    ['more names than any file has', () => file(`{${names()}}`), /1000000 names/],
    ['metadata of numbers', () => file({ __metadata__: { a: 1 } }), /strings to strings/],
  ])('is refused: %s', async (_, make, message) => {
    const error = await loadSafetensors(make()).catch(e => e)
    expect(error).toBeInstanceOf(VqFormatError)
    expect(error.message).toMatch(message)
  })

  it('is refused, with the reason as its cause, where it cannot be opened', async () => {
    const cause = async (path: string): Promise<unknown> => {
      const error = await loadSafetensors(path).catch(e => e)
      expect(error).toBeInstanceOf(VqFormatError)
      expect(error.message).toContain(path)
      return error.cause?.code
    }
    const plain = file('{}')
    expect(await cause(join(folder, 'none'))).toBe('ENOENT')
    expect(await cause(join(plain, 'below'))).toBe('ENOTDIR')
    const loop = join(folder, 'loop')
    symlinkSync(loop, loop)
    expect(await cause(loop)).toBe('ELOOP')
    if (process.platform === 'win32') return
    // Opening a pipe would wait for a writer.
    const pipe = join(folder, 'pipe')
    execFileSync('mkfifo', [pipe])
    expect(await cause(pipe)).toBe(undefined)
    if (process.getuid?.() === 0) return
    chmodSync(plain, 0)
    expect(await cause(plain)).toBe('EACCES')
  })

  it('is refused with a header of more than the format allows, without reading it', async () => {
    const path = file('{}', [], 100_000_001)
    truncateSync(path, 200_000_000)
    await expect(loadSafetensors(path)).rejects.toThrow(/a header of 100000001 bytes/)
  })

  it('never does worse than a typed error, whatever byte is changed or cut', async () => {
    const whole = readFileSync(fixture)
    const path = join(folder, 'fuzz.safetensors')
    const edits = fc.record({ at: fc.nat(whole.length - 1), to: fc.nat(255), end: fc.nat(whole.length) })
    await fc.assert(
      fc.asyncProperty(edits, async ({ at, to, end }) => {
        const bytes = Buffer.from(whole)
        bytes[at] = to
        writeFileSync(path, end % 2 ? bytes : bytes.subarray(0, end))
        const outcome = await loadSafetensors(path).catch(e => e)
        return outcome instanceof VqFormatError || 'tensors' in outcome
      }),
      { numRuns: 300 },
    )
  })
})
