import {
  closeSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readdirSync,
  rmSync,
  statSync,
  truncateSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { VqConfigError, VqFormatError } from '@vq/core'
import { loadSafetensors, openSafetensors, type StoredTensor, saveSafetensors } from '@vq/core/io'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

const full = process.env.VQ_TEST_FULL === '1'
const GiB = 2 ** 30
const part = 64 * 2 ** 20 // bytes
const parts = 40
let folder: string
let large: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'vq-large-'))
  large = join(folder, 'large.safetensors')
  // 2.5 GiB of tensors of 64 MiB, one of 2.5 GiB, and one beyond: zeros that take no room on the disk, but for a few marks.
  const header: Record<string, object> = {}
  let at = 0
  const add = (name: string, dtype: string, shape: number[], bytes: number): number => {
    header[name] = { dtype, shape, data_offsets: [at, at + bytes] }
    at += bytes
    return at - bytes
  }
  for (let i = 0; i < parts; i++) add(`part${i}`, 'F32', [part / 4096, 1024], part)
  const huge = add('huge', 'U8', [2.5 * 1024, 2 ** 20], 2.5 * GiB)
  const last = add('last', 'F32', [4], 16)
  const text = Buffer.from(JSON.stringify(header))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(text.length))
  const file = openSync(large, 'w')
  writeSync(file, Buffer.concat([length, text]))
  const dataAt = 8 + text.length
  ftruncateSync(file, dataAt + at)
  const mark = (bytes: Uint8Array, where: number): number =>
    writeSync(file, bytes, 0, bytes.length, dataAt + where)
  for (let i = 0; i < parts; i++) mark(new Uint8Array(Float32Array.of(i + 0.5).buffer), (i + 1) * part - 4)
  mark(Uint8Array.of(7), huge + 2.5 * GiB - 1)
  mark(new Uint8Array(Float32Array.of(1, 2, 3, 4).buffer), last)
  closeSync(file)
})
afterAll(() => rmSync(folder, { recursive: true }))

describe('a safetensors file of 5 GiB', () => {
  it('is opened and read in parts, beyond 2 and 4 GiB too, in little memory', async () => {
    const before = process.memoryUsage().rss
    const file = await openSafetensors(large)
    expect(file.entries.get('huge')).toEqual({ dtype: 'U8', shape: [2560, 2 ** 20] })
    expect((await file.read('last')).data).toEqual(Float32Array.of(1, 2, 3, 4))
    const end = await file.read('huge', { rows: [2559, 2560] })
    expect([end.shape, end.data[2 ** 20 - 1]]).toEqual([[1, 2 ** 20], 7])
    let most = 0
    for (const i of full ? Array(parts).keys() : [0, 17, 33]) {
      const { shape, data } = await file.read(`part${i}`)
      expect([shape, data.length, data[data.length - 1]]).toEqual([[part / 4096, 1024], part / 4, i + 0.5])
      most = Math.max(most, process.memoryUsage().rss - before)
    }
    await file.close()
    // Ten of the forty at most, of which old ones are not collected yet.
    expect(most).toBeLessThan(10 * part)
  })

  it.skipIf(!full)('gives a tensor of more than 2 GiB as a whole (the full tier)', async () => {
    const file = await openSafetensors(large)
    const { data } = await file.read('huge')
    expect([data.length, data[0], data[data.length - 1]]).toEqual([2.5 * GiB, 0, 7])
    await file.close()
  })

  it('is a typed error where it shrinks after it was opened', async () => {
    const copy = join(folder, 'shrinks')
    await saveSafetensors(copy, { a: { dtype: 'U8', shape: [1000], data: new Uint8Array(1000) } })
    const file = await openSafetensors(copy)
    truncateSync(copy, 500)
    const error = await file.read('a').catch(e => e)
    expect(error).toBeInstanceOf(VqFormatError)
    expect(error.message).toMatch(/ended or shrank/)
    await file.close()
  })
})

describe('rows', () => {
  it('are those of the whole, for types of every width', async () => {
    const path = join(folder, 'rows')
    const count = 5 * 3 * 4
    const values = Float32Array.from({ length: count }, (_, i) => [0, 0.5, -1, 2, -4, 6][(i * 5) % 6])
    const tensors = Object.fromEntries(
      (['F4', 'F16', 'F32', 'F64'] as const).map((dtype): [string, StoredTensor] => [
        dtype,
        { dtype, shape: [20, 3], data: dtype === 'F64' ? Float64Array.from(values) : values },
      ]),
    )
    tensors.C64 = { dtype: 'C64', shape: [10, 3], data: values }
    tensors.F6_E3M2 = { dtype: 'F6_E3M2', shape: [20, 3], data: values }
    await saveSafetensors(path, tensors)
    const file = await openSafetensors(path)
    for (const [name, { shape, data, dtype }] of Object.entries(tensors)) {
      const width = data.length / shape[0]
      for (let begin = 0; begin <= shape[0]; begin++)
        for (let end = begin; end <= shape[0]; end += 1 + (end % 3))
          expect(await file.read(name, { rows: [begin, end] })).toEqual({
            dtype,
            shape: [end - begin, 3],
            data: data.slice(begin * width, end * width),
          })
      for (const rows of [
        [-1, 1],
        [2, 1],
        [0, shape[0] + 1],
        [0.5, 1],
        [0, Number.NaN],
      ] as [number, number][])
        await expect(file.read(name, { rows })).rejects.toThrow(VqConfigError)
    }
    await expect(file.read('none')).rejects.toThrow(VqConfigError)
    await file.close()
  })

  it('and wholes of many parts are what was written, for types that are wider in memory', async () => {
    const path = join(folder, 'parts')
    const data = Float32Array.from(
      { length: 2 ** 21 + 8 },
      (_, i) => [0, 0.5, -1, 2, -4, 6][(i ^ (i >>> 7)) % 6],
    )
    const types = ['F4', 'F6_E2M3', 'F8_E5M2', 'F16'] as const
    const tensors = types.map((dtype): [string, StoredTensor] => [
      dtype,
      { dtype, shape: [2 ** 18 + 1, 8], data },
    ])
    await saveSafetensors(path, Object.fromEntries(tensors))
    const file = await openSafetensors(path)
    const bytes = ({ buffer, byteOffset, byteLength }: StoredTensor['data']): Buffer =>
      Buffer.from(buffer, byteOffset, byteLength)
    for (const dtype of types) {
      expect([dtype, bytes((await file.read(dtype)).data).equals(bytes(data))]).toEqual([dtype, true])
      const some = await file.read(dtype, { rows: [3, 2 ** 18] })
      expect(bytes(some.data).equals(bytes(data.subarray(24, 2 ** 21)))).toBe(true)
    }
    await file.close()
  })

  it('are refused of a scalar', async () => {
    const path = join(folder, 'scalar')
    await saveSafetensors(path, { s: { dtype: 'U8', shape: [], data: new Uint8Array(1) } })
    const file = await openSafetensors(path)
    await expect(file.read('s', { rows: [0, 1] })).rejects.toThrow(/at least one axis/)
    await file.close()
  })
})

describe('lazy saving', () => {
  const count = full ? 24 : 4
  const size = full ? part : part / 16
  const lazy = (i: number, seen: number[]) => ({
    dtype: 'F32' as const,
    shape: [size / 4],
    read: async (): Promise<StoredTensor> => {
      // What has been written of the others by now, under the temporary name.
      const temp = readdirSync(folder).find(name => name.startsWith('.lazy'))
      seen.push(statSync(join(folder, temp ?? 'missing')).size)
      return { dtype: 'F32', shape: [size / 4], data: new Float32Array(size / 4).fill(i) }
    },
  })

  it('reads each tensor when its turn comes, and holds one at a time', async () => {
    const path = join(folder, 'lazy')
    const seen: number[] = []
    const before = process.memoryUsage().rss
    const names = Array.from({ length: count }, (_, i) => `t${String(i).padStart(2, '0')}`)
    await saveSafetensors(path, Object.fromEntries(names.map((name, i) => [name, lazy(i, seen)])))
    expect(process.memoryUsage().rss - before).toBeLessThan(10 * part)
    const head = statSync(path).size - count * size
    expect(seen).toEqual(names.map((_, i) => head + i * size))
    const file = await openSafetensors(path)
    for (const [i, name] of names.entries()) {
      const { data } = await file.read(name, { rows: [size / 4 - 2, size / 4] })
      expect(data).toEqual(Float32Array.of(i, i))
    }
    await file.close()
  })

  it('keeps the old file where one of them fails or is not what it announced', async () => {
    const path = join(folder, 'kept')
    await saveSafetensors(path, { a: { dtype: 'U8', shape: [1], data: Uint8Array.of(9) } })
    const liar = (read: () => Promise<StoredTensor>) => ({ a: { dtype: 'F32' as const, shape: [2], read } })
    const others: [() => Promise<StoredTensor>, RegExp][] = [
      [() => Promise.reject(new Error('gone')), /gone/],
      [async () => ({ dtype: 'F32', shape: [3], data: new Float32Array(3) }), /as its entry says/],
      [async () => ({ dtype: 'I32', shape: [2], data: new Int32Array(2) }), /as its entry says/],
      [async () => ({ dtype: 'F32', shape: [2], data: new Float32Array(3) }), /length 2/],
    ]
    for (const [read, message] of others)
      await expect(saveSafetensors(path, liar(read))).rejects.toThrow(message)
    expect((await loadSafetensors(path)).tensors.a.data).toEqual(Uint8Array.of(9))
    expect(readdirSync(folder).filter(name => name.includes('kept'))).toEqual(['kept'])
  })
})
