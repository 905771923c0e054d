import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { VqConfigError, type VqError, VqFormatError, VqValueError } from '@vq/core'
import {
  iterateSemanticIds,
  readSemanticIdInfo,
  readSemanticIds,
  type SemanticId,
  writeSemanticIds,
} from '@vq/pipeline'
import fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'

const folder = mkdtempSync(join(tmpdir(), 'vq-formats-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const plain = (items: Iterable<SemanticId>) =>
  Array.from(items, ({ codes, margin, ...rest }) => ({
    ...rest,
    codes: Array.from(codes),
    ...(margin !== undefined && { margin: typeof margin === 'number' ? [margin] : Array.from(margin) }),
  }))

/** A file as a whole: shape, sizes, metadata and rows that fit each other. */
const files = fc
  .record({
    positions: fc.integer({ min: 1, max: 4 }),
    sizes: fc.array(fc.oneof(fc.integer({ min: 1, max: 300 }), fc.constant(2 ** 31)), {
      minLength: 1,
      maxLength: 4,
    }),
    margins: fc.constantFrom(0, 1, 3),
    captions: fc.boolean(),
    metadata: fc.dictionary(
      fc.string({ unit: 'grapheme', minLength: 1 }).filter(k => !/^(vq\.|ARROW:|pandas$|__proto__)/.test(k)),
      fc.string({ unit: 'grapheme' }),
      { maxKeys: 3 },
    ),
  })
  .chain(({ positions, sizes, margins, captions, metadata }) =>
    fc.record({
      info: fc.constant({
        shape: positions === 1 ? [sizes.length] : [positions, sizes.length],
        codebookSizes: sizes,
        metadata: { ...metadata },
      }),
      items: fc.array(
        fc.record(
          {
            id: fc.string({ unit: 'grapheme' }),
            codes: fc.tuple(
              ...Array.from({ length: positions }, () => sizes)
                .flat()
                .map(k => fc.integer({ min: 0, max: k - 1 })),
            ),
            ...(captions && { caption: fc.string({ unit: 'grapheme' }) }),
            ...(margins > 0 && {
              margin: fc.array(
                fc.float({ min: 0, noNaN: true }).map(m => m + 0),
                { minLength: margins, maxLength: margins },
              ),
            }),
          },
          { requiredKeys: margins > 0 ? ['id', 'codes', 'margin'] : ['id', 'codes'] } as never,
        ),
        { maxLength: 12 },
      ),
      rowGroupSize: fc.integer({ min: 1, max: 13 }),
    }),
  )

describe.each(['parquet', 'jsonl', 'vqids'])('semantic IDs as %s', format => {
  const file = join(folder, `ids.${format}`)

  test('keep codes, margins, captions, shape, sizes and metadata', async () => {
    await fc.assert(
      fc.asyncProperty(files, fc.nat(14), fc.nat(14), async ({ info, items, rowGroupSize }, a, b) => {
        const rows = items as unknown as SemanticId[]
        await writeSemanticIds(file, rows, { ...info, rowGroupSize, captions: true, margins: true })
        expect(plain(await readSemanticIds(file))).toEqual(plain(rows))
        expect(await readSemanticIdInfo(file)).toEqual(info)
        const part: SemanticId[] = []
        for await (const item of iterateSemanticIds(file, { from: a, to: b })) part.push(item)
        expect(plain(part)).toEqual(plain(rows.slice(a, Math.max(a, b))))
      }),
      { numRuns: 80 },
    )
  })

  test('refuse codes that shape or sizes do not allow, and margins that are none', async () => {
    const info = { shape: [2], codebookSizes: [4, 8] }
    const cases: [Partial<SemanticId>, RegExp][] = [
      [{ codes: [4, 0] }, /row 0: id "x", code 4/],
      [{ codes: [0, 8] }, /codes below 8 at level 1/],
      [{ codes: [1] }, /2 codes, as the shape/],
      [{ margin: -1 }, /margin -1/],
      [{ margin: [0, Number.NaN] }, /margin NaN/],
    ]
    for (const [wrong, message] of cases) {
      const write = writeSemanticIds(file, [{ id: 'x', codes: [1, 2], ...wrong }], info)
      await expect(write).rejects.toThrow(message)
      await expect(write).rejects.toThrow(VqValueError)
    }
    for (const wrong of [
      { shape: [0] },
      { shape: [2, 2, 2] },
      { codebookSizes: [4] },
      { shape: [2], codebookSizes: [4, 0] },
    ])
      await expect(writeSemanticIds(file, [], wrong)).rejects.toThrow(VqConfigError)
  })

  test('of nothing keep their metadata', async () => {
    await writeSemanticIds(file, [], { shape: [4], metadata: { model: 'a' } })
    expect(await readSemanticIds(file)).toEqual([])
    expect(await readSemanticIdInfo(file)).toEqual({ shape: [4], metadata: { model: 'a' } })
  })

  test('infinite margins come back', async () => {
    await writeSemanticIds(file, [{ id: 'x', codes: [1], margin: [Number.POSITIVE_INFINITY, 0.1] }])
    expect((await readSemanticIds(file))[0]!.margin).toEqual(Float32Array.of(Number.POSITIVE_INFINITY, 0.1))
  })
})

describe('.vqids', () => {
  const file = join(folder, 'x.vqids')
  const items = Array.from({ length: 50 }, (_, i) => ({
    id: `i${i}`,
    codes: [i % 3, (i * 7) % 64, i],
    margin: [i],
  }))
  const info = { shape: [3], codebookSizes: [3, 64, 256] }

  test('takes ceil(log2 K) bits for each code', async () => {
    const count = 8000
    const bare = Array.from({ length: count }, (_, i) => ({ id: '', codes: [i % 3, i % 64, i % 256] }))
    const size = async (n: number): Promise<number> => {
      await writeSemanticIds(file, bare.slice(0, n), { ...info, rowGroupSize: count })
      return statSync(file).size
    }
    // 2 + 6 + 8 bits, and 4 bytes for the length of each id.
    expect((await size(count)) - (await size(count / 2))).toBe((count / 2) * (16 / 8 + 4))
  })

  const typed = async (bytes: Uint8Array): Promise<SemanticId[] | VqError> => {
    writeFileSync(file, bytes)
    try {
      await readSemanticIdInfo(file)
      return await readSemanticIds(file)
    } catch (error) {
      if (!(error instanceof VqFormatError)) throw error
      return error
    }
  }

  test('says so wherever it is damaged or cut, and is never read wrongly', async () => {
    await writeSemanticIds(file, items, { ...info, rowGroupSize: 16 })
    const good = readFileSync(file)
    await fc.assert(
      fc.asyncProperty(fc.nat(good.length - 1), fc.integer({ min: 1, max: 255 }), async (at, change) => {
        const bytes = Buffer.from(good)
        bytes[at] ^= change
        expect(await typed(bytes)).toBeInstanceOf(VqFormatError)
      }),
      { numRuns: 150 },
    )
    await fc.assert(
      fc.asyncProperty(fc.nat(good.length - 1), async length => {
        expect(await typed(good.subarray(0, length))).toBeInstanceOf(VqFormatError)
      }),
      { numRuns: 50 },
    )
    expect(await typed(Buffer.concat([good, Buffer.of(0)]))).toBeInstanceOf(VqFormatError)
    expect(plain((await typed(good)) as SemanticId[])).toEqual(plain(items))
  })

  // A liar who knows the checksums.
  function forged(change: (header: Record<string, unknown>, block: Buffer, footer: Buffer) => void): Buffer {
    const good = readFileSync(file)
    const length = good.readUInt32LE(12)
    const header = JSON.parse(good.subarray(16, 16 + length).toString()) as Record<string, unknown>
    const footer = Buffer.from(good.subarray(good.length - 32))
    const block = Buffer.from(good.subarray(20 + length, good.length - 32))
    change(header, block, footer)
    const json = Buffer.from(JSON.stringify(header))
    const start = Buffer.from(good.subarray(0, 16))
    start.writeUInt32LE(json.length, 12)
    const sum = (bytes: Buffer): Buffer => {
      const out = Buffer.alloc(4)
      out.writeUInt32LE(crc32(bytes))
      return out
    }
    footer.writeDoubleLE(footer.readDoubleLE(0) - length + json.length, 0)
    sum(block.subarray(12)).copy(block, 8)
    sum(footer.subarray(0, 20)).copy(footer, 20)
    return Buffer.concat([start, json, sum(json), block, footer])
  }

  test('that lies about sizes behind right checksums is refused before anything is allocated', async () => {
    const lies: ((header: Record<string, unknown>, block: Buffer, footer: Buffer) => void)[] = [
      header => (header.shape = [2 ** 20]),
      header => (header.shape = [2 ** 30, 3]),
      header => (header.shape = 'x'),
      header => (header.rowsPerBlock = 2 ** 30),
      header => (header.rowsPerBlock = 0),
      header => (header.margins = 2 ** 19),
      header => (header.captions = true),
      header => (header.metadata = { a: 1 }),
      header => (header.codebookSizes = [3, 64, 2 ** 31]),
      header => (header.codebookSizes = [1, 64, 256]),
      (_, block) => block.writeUInt32LE(2 ** 31, 4),
      (_, block) => block.writeUInt8(200, 12),
      (_, block) => block.fill(0xff, 15, 30),
      (_, block) => block.writeUInt32LE(0xffffffff, block.length - 150),
      (_, __, footer) => footer.writeDoubleLE(2 ** 50, 8),
      (_, __, footer) => footer.writeDoubleLE(Number.NaN, 8),
      (_, __, footer) => footer.writeUInt32LE(0xffffffff, 16),
      (_, __, footer) => footer.writeDoubleLE(-1e300, 0),
    ]
    await writeSemanticIds(file, items, info)
    const clean = forged(() => {})
    expect(clean).toEqual(readFileSync(file))
    const forgeries = lies.map(lie => forged(lie))
    for (const [i, bytes] of forgeries.entries()) {
      const before = process.memoryUsage().arrayBuffers
      const found = await typed(bytes)
      expect([i, found]).toEqual([i, expect.any(VqFormatError)])
      expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2 ** 25)
    }
  })

  test('reads a range without the blocks around it', async () => {
    await writeSemanticIds(file, items, { ...info, rowGroupSize: 10 })
    const bytes = readFileSync(file)
    // The first block is broken, which only those notice who read it.
    bytes[30 + bytes.readUInt32LE(12) + 8] ^= 1
    writeFileSync(file, bytes)
    const got: string[] = []
    for await (const { id } of iterateSemanticIds(file, { from: 25, to: 32 })) got.push(id)
    expect(got).toEqual(items.slice(25, 32).map(({ id }) => id))
    await expect(readSemanticIds(file)).rejects.toThrow(/block 0/)
  })

  test('needs the same fields in all rows', async () => {
    await expect(writeSemanticIds(file, [...items, { id: 'x', codes: [0, 0, 0] }])).rejects.toThrow(
      /1 margins.*row 50/,
    )
    await expect(
      writeSemanticIds(file, [
        { id: 'x', codes: [0] },
        { id: 'y', codes: [0, 1] },
      ]),
    ).rejects.toThrow(VqValueError)
  })
})
