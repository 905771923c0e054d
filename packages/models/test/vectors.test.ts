import { existsSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Random, VqConfigError, VqFormatError } from '@vq/core'
import { loadVecs, npyBytes, openRows, type StoredType, saveNpy, saveVecs } from '@vq/core/io'
import { vectors, videoClips } from '@vq/models/data'
import fc from 'fast-check'
import { describe, expect, it, test } from 'vitest'
import { keepsContract, realData, temporaryFolder, upTo } from './data-fixture.js'

const folder = temporaryFolder()
const at = (name: string): string => join(folder, name)
const values = new Random(3).fillNormal(new Float32Array(200 * 7))

describe('vectors', async () => {
  await saveVecs(at('a.fvecs'), { data: values, dim: 7 })
  await saveNpy(at('a.npy'), { dtype: 'F32', shape: [200, 7], data: values })
  keepsContract('vectors of fvecs', { make: () => vectors(at('a.fvecs')) })
  keepsContract('vectors of npy from the disk', { make: () => vectors(at('a.npy'), { memoryBytes: 0 }) })

  it.each(['a.fvecs', 'a.npy'])(
    'gives the rows of %s in any order, from memory and from the disk',
    async name => {
      const [kept, streamed] = [await vectors(at(name)), await vectors(at(name), { memoryBytes: 0 })]
      expect([kept.length, kept.shape, streamed.length]).toEqual([200, [7], 200])
      await fc.assert(
        fc.asyncProperty(fc.array(fc.integer({ min: 0, max: 199 }), { maxLength: 60 }), async rows => {
          const indices = Int32Array.from(rows)
          const want = rows.flatMap(i => [...values.subarray(7 * i, 7 * i + 7)])
          expect([...(await kept.batch(indices))]).toEqual(want)
          expect([...(await streamed.batch(indices))]).toEqual(want)
        }),
        { numRuns: 40 },
      )
    },
  )

  it.each<[StoredType, Float64Array | Uint8Array | Int32Array]>([
    ['F64', Float64Array.of(1.5, -2, 3, 4)],
    ['U8', Uint8Array.of(1, 2, 255, 0)],
    ['I32', Int32Array.of(1, -2, 3, 4)],
  ])('takes %s as float32, divided on request', async (dtype, data) => {
    await saveNpy(at(`${dtype}.npy`), { dtype, shape: [2, 2, 1], data })
    for (const memoryBytes of [0, 1000]) {
      const set = await vectors(at(`${dtype}.npy`), { divisor: 4, memoryBytes })
      expect(set.shape).toEqual([2, 1])
      expect([...(await set.batch(upTo(2)))]).toEqual(Array.from(data, v => v / 4))
    }
  })

  it('numbers in one axis are vectors of one', async () => {
    await saveNpy(at('flat.npy'), { dtype: 'F32', shape: [3], data: Float32Array.of(5, 6, 7) })
    const set = await vectors(at('flat.npy'), { memoryBytes: 0 })
    expect([set.shape, [...(await set.batch(Int32Array.of(2, 0)))]]).toEqual([[1], [7, 5]])
  })

  it('refuses other files, types and orders, and a file that changed', async () => {
    await expect(vectors(at('a.bin'))).rejects.toThrow(VqConfigError)
    await expect(vectors(at('none.npy'))).rejects.toThrow(VqFormatError)
    await saveNpy(at('i64.npy'), { dtype: 'I64', shape: [1], data: BigInt64Array.of(1n) })
    await expect(vectors(at('i64.npy'))).rejects.toThrow(VqConfigError)
    await saveNpy(at('empty.npy'), { dtype: 'F32', shape: [0, 4], data: new Float32Array(0) })
    await expect(vectors(at('empty.npy'))).rejects.toThrow(VqConfigError)
    const bytes = Buffer.from(npyBytes({ dtype: 'F32', shape: [2, 2], data: new Float32Array(4) }))
    writeFileSync(at('short.npy'), bytes.subarray(0, -1))
    await expect(vectors(at('short.npy'))).rejects.toThrow(VqFormatError)
    const fortran = bytes.toString('latin1').replace('False', 'True ')
    writeFileSync(at('fortran.npy'), Buffer.from(fortran, 'latin1'))
    await expect(vectors(at('fortran.npy'))).rejects.toThrow(/Fortran/)
    const streamed = await vectors(at('a.npy'), { memoryBytes: 0 })
    utimesSync(at('a.npy'), 1, 1)
    await expect(streamed.batch(Int32Array.of(0))).rejects.toThrow(/as it was when it was opened/)
  })

  it('reads no more of a large file than the rows of a batch', async () => {
    const file = await openRows(at('a.fvecs'))
    expect([...(await file.read(50, 2))]).toEqual([...values.subarray(350, 364)])
    await file.close()
    await expect(openRows(at('a.txt'))).rejects.toThrow(VqConfigError)
  })

  test.skipIf(!existsSync(join(realData, 'vectors')))(
    'reads real vectors as loadVecs does (skipped where ../shared/data is absent)',
    async () => {
      const path = join(realData, 'vectors/bsds_sift_query.fvecs')
      const set = await vectors(path, { memoryBytes: 0 })
      const { data } = await loadVecs(path)
      expect([...(await set.batch(upTo(100)))]).toEqual([...data])
    },
  )
})

describe('videoClips', async () => {
  const clips = Uint8Array.from({ length: 3 * 2 * 2 * 2 * 3 }, (_, i) => (i * 37) % 256)
  await saveNpy(at('clips.npy'), { dtype: 'U8', shape: [3, 2, 2, 2, 3], data: clips })
  keepsContract('videoClips', { make: () => videoClips(at('clips.npy')), range: [0, 1] })

  it('gives bytes as 255ths', async () => {
    for (const memoryBytes of [0, 1 << 20]) {
      const set = await videoClips(at('clips.npy'), { memoryBytes })
      expect(set.shape).toEqual([2, 2, 2, 3])
      expect([...(await set.batch(upTo(3)))]).toEqual(Array.from(clips, k => Math.fround(k / 255)))
    }
    await expect(videoClips(at('flat.npy'))).rejects.toThrow(VqConfigError)
  })

  test.skipIf(!existsSync(join(realData, 'video')))(
    'reads real clips batch by batch (skipped where ../shared/data is absent)',
    async () => {
      const set = await videoClips(join(realData, 'video/clips64_u8_NTHWC.npy'), { memoryBytes: 0 })
      expect([set.length, set.shape]).toEqual([88, [16, 64, 64, 3]])
      const clip = await set.batch(Int32Array.of(87))
      const most = clip.reduce((a, b) => Math.max(a, b), 0)
      expect(most).toBeLessThanOrEqual(1)
      expect(most).toBeGreaterThan(0.5)
    },
  )
})
