import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { VqConfigError, VqFormatError, VqValueError } from '@vq/core'
import { iterateSemanticIds, readSemanticIds, type SemanticId, writeSemanticIds } from '@vq/pipeline'
import fc from 'fast-check'
import { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects } from 'hyparquet'
import { afterAll, describe, expect, test } from 'vitest'

const folder = mkdtempSync(join(tmpdir(), 'vq-ids-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const items = (count: number, captions = false): SemanticId[] =>
  Array.from({ length: count }, (_, i) => ({
    id: `sub folder/ü図 "${i}".png`,
    codes: Int32Array.from({ length: 4 }, (_, q) => (i * 7919 + q * 104729) % 2 ** 31),
    ...(captions && i % 3 !== 0 && { caption: `caption ${i}` }),
  }))
const plain = (all: Iterable<SemanticId>) =>
  Array.from(all, item => ({ ...item, codes: Array.from(item.codes) }))

describe.each(['parquet', 'jsonl'])('semantic IDs as %s', format => {
  const file = join(folder, `ids.${format}`)

  test('come back as they were, whatever the row group size', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.record(
            {
              id: fc.string({ unit: 'grapheme' }),
              codes: fc.array(fc.integer({ min: 0, max: 2 ** 31 - 1 }), { maxLength: 6 }),
              caption: fc.string(),
            },
            { requiredKeys: ['id', 'codes'] },
          ),
          { maxLength: 12 },
        ),
        fc.integer({ min: 1, max: 20 }),
        async (written, rowGroupSize) => {
          await writeSemanticIds(file, written, { rowGroupSize, captions: true })
          expect(plain(await readSemanticIds(file))).toEqual(written)
        },
      ),
      { numRuns: 60 },
    )
  })

  test('stream in and out', async () => {
    async function* source() {
      yield* items(2500, true)
    }
    await writeSemanticIds(file, source(), { rowGroupSize: 1000 })
    let row = 0
    for await (const item of iterateSemanticIds(file)) {
      expect(plain([item])).toEqual(plain([items(row + 1, true)[row]!]))
      if (++row === 40) break
    }
    expect((await readSemanticIds(file)).length).toBe(2500)
  })

  test('a bad code names its row, and the old file stays', async () => {
    await writeSemanticIds(file, items(3))
    const before = readFileSync(file)
    for (const code of [-1, 0.5, 2 ** 31, Number.NaN])
      await expect(writeSemanticIds(file, [...items(2), { id: 'x', codes: [1, code] }])).rejects.toThrow(
        expect.objectContaining({ name: 'VqValueError', received: `row 2: id "x", code ${code}` }),
      )
    expect(readFileSync(file)).toEqual(before)
    expect(readdirSync(folder).filter(name => name.includes('tmp'))).toEqual([])
  })

  test('a missing or broken file is a format error with its name', async () => {
    await expect(readSemanticIds(join(folder, `none.${format}`))).rejects.toThrow(VqFormatError)
    writeFileSync(join(folder, `bad.${format}`), 'PAR1 this is nothing')
    await expect(readSemanticIds(join(folder, `bad.${format}`))).rejects.toThrow(/bad\./)
  })
})

describe('the Parquet file', () => {
  test('has a list column of 32-bit integers and one row group per batch of rows', async () => {
    const path = join(folder, 'schema.parquet')
    await writeSemanticIds(path, items(25, true), { rowGroupSize: 10, metadata: { codes: '256' } })
    const file = await asyncBufferFromFile(path)
    const metadata = await parquetMetadataAsync(file)
    expect(metadata.row_groups.map(g => Number(g.num_rows))).toEqual([10, 10, 5])
    expect(metadata.schema.find(s => s.name === 'element')?.type).toBe('INT32')
    expect(metadata.schema.find(s => s.name === 'codes')?.converted_type).toBe('LIST')
    expect(metadata.key_value_metadata).toContainEqual({ key: 'codes', value: '256' })
    const rows = await parquetReadObjects({ file })
    expect(rows[7]).toMatchObject({ codes: plain(items(8))[7]!.codes, caption: 'caption 7' })
    expect(rows[9]!.caption).toBeNull()
  })

  test('has a caption column where the first row group has captions; a later one alone is an error, not lost', async () => {
    const path = join(folder, 'late.parquet')
    const late = [...items(4), { id: 'late', codes: [1], caption: 'here' }]
    await expect(writeSemanticIds(path, late, { rowGroupSize: 4 })).rejects.toThrow(/captions: true/)
    await writeSemanticIds(path, late, { rowGroupSize: 4, captions: true })
    expect((await readSemanticIds(path))[4]!.caption).toBe('here')
  })

  test('of nothing is a valid file with no rows', async () => {
    await writeSemanticIds(join(folder, 'empty.parquet'), [])
    expect(await readSemanticIds(join(folder, 'empty.parquet'))).toEqual([])
    expect(statSync(join(folder, 'empty.parquet')).size).toBeGreaterThan(50)
  })

  const python = process.env.VQ_PYTHON ?? 'python3'
  const pyarrow = spawnSync(python, ['-c', 'import pyarrow.parquet']).status === 0
  test.skipIf(!pyarrow)(
    'is read by pyarrow with the same types and values (skipped where Python has no pyarrow)',
    async () => {
      const path = join(folder, 'arrow.parquet')
      await writeSemanticIds(path, items(2300, true), { rowGroupSize: 1000 })
      const program =
        'import json, sys, pyarrow.parquet as p\nt = p.read_table(sys.argv[1])\nprint(json.dumps([str(t.schema.field(n).type) for n in t.column_names] + [t.num_rows, t.slice(2298).to_pylist()]))'
      const { stdout, stderr } = spawnSync(python, ['-c', program, path], { encoding: 'utf8' })
      expect(stderr).toBe('')
      const [id, codes, caption, rows, last] = JSON.parse(stdout)
      expect([id, codes, caption, rows]).toEqual(['string', 'list<element: int32 not null>', 'string', 2300])
      expect(last).toEqual(plain(items(2300, true).slice(2298)).map(row => ({ caption: null, ...row })))
    },
  )
})

test('another file name is refused', async () => {
  await expect(writeSemanticIds(join(folder, 'ids.csv'), [])).rejects.toThrow(VqConfigError)
  await expect(writeSemanticIds(join(folder, 'ids.jsonl'), [{ id: 1 as never, codes: [] }])).rejects.toThrow(
    VqValueError,
  )
})
