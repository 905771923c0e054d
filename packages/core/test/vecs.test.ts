import { existsSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { VqConfigError, VqFormatError, VqShapeError } from '@vq/core'
import { iterateVecs, loadVecs, saveVecs, type VecsArray } from '@vq/core/io'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { draw } from './draw.js'

const shared = new URL('../../../../shared/data/vectors/', import.meta.url).pathname
let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'vq-vecs-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

function file(name: string, words: readonly number[], extra: readonly number[] = []): string {
  const path = join(folder, name)
  writeFileSync(path, Buffer.concat([Buffer.from(Int32Array.from(words).buffer), Buffer.from(extra)]))
  return path
}

const bytes = ({ buffer, byteOffset, byteLength }: VecsArray): Buffer =>
  Buffer.from(buffer, byteOffset, byteLength)

describe('vecs', () => {
  it('reads records of each type', async () => {
    expect(await loadVecs(file('a.ivecs', [2, 7, -8, 2, 9, 10]))).toEqual({
      data: Int32Array.of(7, -8, 9, 10),
      dim: 2,
      count: 2,
    })
    expect(await loadVecs(file('a.fvecs', [1, 0x3f800000]))).toEqual({
      data: Float32Array.of(1),
      dim: 1,
      count: 1,
    })
    expect(await loadVecs(file('a.bvecs', [3], [1, 2, 255]))).toEqual({
      data: Uint8Array.of(1, 2, 255),
      dim: 3,
      count: 1,
    })
    expect(await loadVecs(file('b.fvecs', []))).toEqual({ data: new Float32Array(0), dim: 0, count: 0 })
  })

  it.each<[string, VecsArray]>([
    ['fvecs', draw(7000 * 50, 1)],
    ['ivecs', Int32Array.from({ length: 5000 }, (_, i) => i * 429_496 - 2 ** 30)],
    ['bvecs', Uint8Array.from({ length: 5000 }, (_, i) => i)],
  ])(
    'gives back what it wrote as %s, whole and in blocks of any size',
    async (ending, data) => {
      const path = join(folder, `c.${ending}`)
      await saveVecs(path, { data, dim: 50 })
      const count = data.length / 50
      expect(await loadVecs(path)).toEqual({ data, dim: 50, count })
      for (const batch of [1, 33, count, count + 1, undefined]) {
        let row = 0
        for await (const part of iterateVecs(path, batch === undefined ? {} : { batch })) {
          expect(part.count).toBe(Math.min(batch ?? part.count, count - row))
          const same = bytes(part.data).equals(bytes(data.subarray(row * 50, (row + part.count) * 50)))
          expect([row, same]).toEqual([row, true])
          row += part.count
        }
        expect(row).toBe(count)
      }
    },
    20_000,
  )

  it.skipIf(!existsSync(shared))('reads real vectors (skipped where ../shared/data is absent)', async () => {
    const base = await loadVecs(`${shared}bsds_sift_base.fvecs`)
    expect([base.dim, base.count]).toEqual([128, 10_000])
    const words = readFileSync(`${shared}bsds_sift_base.fvecs`)
    expect(base.data[9999 * 128 + 127]).toBe(words.readFloatLE(words.length - 4))
    // The file's own variance per dimension, as its description has it.
    const mean = new Float64Array(128)
    for (let i = 0; i < base.data.length; i++) mean[i % 128] += base.data[i] / 10_000
    let variance = 0
    for (let i = 0; i < base.data.length; i++)
      variance += (base.data[i] - mean[i % 128]) ** 2 / base.data.length
    expect(variance).toBeCloseTo(1092.86, 2)
    const truth = await loadVecs(`${shared}bsds_sift_groundtruth.ivecs`)
    expect([truth.dim, truth.count]).toEqual([100, 100])
    const path = join(folder, 'again.fvecs')
    await saveVecs(path, base)
    expect(readFileSync(path).equals(words)).toBe(true)
  })

  it.each<[string, () => string, RegExp]>([
    ['records that disagree', () => file('d.ivecs', [2, 1, 2, 1, 3, 4]), /1 for vector 1/],
    ['a record cut off', () => file('d.ivecs', [2, 1, 2, 2, 1]), /records of 12 bytes/],
    ['a dimension alone', () => file('d.ivecs', [0]), /at least 1/],
    ['a negative dimension', () => file('d.bvecs', [-4, 0]), /at least 1/],
    ['two bytes', () => file('d.bvecs', [], [1, 0]), /at least 1/],
    ['2^31 − 1 values in 8 bytes', () => file('d.fvecs', [2 ** 31 - 1, 0]), /records of 8589934592 bytes/],
    ['a missing file', () => join(folder, 'none.fvecs'), /ENOENT/],
  ])('refuses %s', async (_, make, message) => {
    for (const action of [loadVecs, (path: string) => iterateVecs(path).next()]) {
      const error = await action(make()).catch(e => e)
      if (error instanceof VqFormatError) expect(error.message).toMatch(message)
      // The first block of an iterator may be fine.
      else expect(error).toMatchObject({ done: false })
    }
    const whole = await loadVecs(make()).catch(e => e)
    expect(whole).toBeInstanceOf(VqFormatError)
  })

  it('tells a file that shrinks while it is read', async () => {
    const path = join(folder, 'e.fvecs')
    await saveVecs(path, { data: draw(3000, 2), dim: 3 })
    const rows = iterateVecs(path, { batch: 10 })
    await rows.next()
    truncateSync(path, 200)
    await expect(rows.next()).rejects.toThrow(/ended or shrank/)
  })

  it('refuses other endings, arrays and sizes', async () => {
    await expect(loadVecs(join(folder, 'x.vecs'))).rejects.toThrow(VqConfigError)
    const data = new Float32Array(5)
    await expect(saveVecs(join(folder, 'x.fvecs'), { data, dim: 2 })).rejects.toThrow(VqShapeError)
    await expect(saveVecs(join(folder, 'x.ivecs'), { data, dim: 5 })).rejects.toThrow(VqShapeError)
    await expect(saveVecs(join(folder, 'x.fvecs'), { data, dim: 0 })).rejects.toThrow(VqConfigError)
    await expect(iterateVecs(join(folder, 'x.fvecs'), { batch: 0 }).next()).rejects.toThrow(VqConfigError)
  })
})
