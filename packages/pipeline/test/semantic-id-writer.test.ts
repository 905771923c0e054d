import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { VqConfigError, VqFormatError, VqValueError } from '@vq/core'
import { openIdWriter, readSemanticIdInfo, readSemanticIds, type SemanticId } from '@vq/pipeline'
import fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'

const folder = mkdtempSync(join(tmpdir(), 'vq-writer-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const items: SemanticId[] = Array.from({ length: 200 }, (_, i) => ({
  id: `item ${i}`,
  codes: [i % 16, (i * 7919) % 256],
  margin: [Math.fround(i / 7)],
}))
const options = {
  shape: [2],
  codebookSizes: [16, 256],
  margins: true,
  metadata: { model: 'abc' },
  rowGroupSize: 64,
}

describe.each(['parquet', 'jsonl', 'vqids'])('a writer of %s', format => {
  const file = join(folder, `ids.${format}`)
  const partial = `${file}.partial`
  const whole = async (): Promise<Buffer> => {
    const writer = await openIdWriter(file, { ...options, rowsPerPart: 30 })
    await writer.append(items)
    await writer.finish()
    return readFileSync(file)
  }

  test('that is killed anywhere, again and again, makes the same file byte for byte', async () => {
    const expected = await whole()
    expect(existsSync(partial)).toBe(false)
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 0, max: 12 }), { maxLength: 5 }),
        fc.integer({ min: 1, max: 60 }),
        fc.integer({ min: 1, max: 70 }),
        async (kills, batch, rowsPerPart) => {
          rmSync(file, { force: true })
          const run = async (batches: number, resume: boolean): Promise<boolean> => {
            const writer = await openIdWriter<{ at: number }>(file, {
              ...options,
              rowsPerPart,
              resume,
              sourceIds: items.map(({ id }) => id),
            })
            expect(writer.done).toBe(writer.state?.at ?? 0)
            for (let at = writer.state?.at ?? 0; at < items.length; at += batch) {
              if (batches-- === 0) return false // killed: nothing more is called
              const end = Math.min(at + batch, items.length)
              await writer.append(items.slice(at, end), { at: end })
            }
            await writer.finish()
            return true
          }
          let ended = false
          for (const [i, batches] of kills.entries()) ended ||= await run(batches, i > 0)
          if (!ended) await run(-1, kills.length > 0)
          expect(readFileSync(file)).toEqual(expected)
          expect(existsSync(partial)).toBe(false)
        },
      ),
      { numRuns: 20 },
    )
    expect((await readSemanticIds(file)).length).toBe(200)
    expect(await readSemanticIdInfo(file)).toMatchObject({ shape: [2], metadata: { model: 'abc' } })
  })

  test('goes on after a kill while the file was made, and after half a part was written', async () => {
    const expected = await whole()
    const writer = await openIdWriter(file, { ...options, rowsPerPart: 30 })
    await writer.append(items, { at: 200 })
    await writer.abandon()
    writeFileSync(join(partial, '.00000001.vqids.0123456789abcdef.tmp'), 'half of a part')
    const again = await openIdWriter<{ at: number }>(file, { ...options, rowsPerPart: 7, resume: true })
    expect([again.done, again.state]).toEqual([200, { at: 200 }])
    await again.finish()
    expect(readFileSync(file)).toEqual(expected)
  })

  test('says what does not fit the run before', async () => {
    const begun = async (): Promise<void> => {
      const writer = await openIdWriter(file, { ...options, rowsPerPart: 30 })
      for (let at = 0; at < 90; at += 30) await writer.append(items.slice(at, at + 30), { at: at + 30 })
      await writer.abandon()
      await expect(writer.append(items)).rejects.toThrow(VqConfigError)
    }
    await begun()
    const resume = { ...options, resume: true }
    await expect(openIdWriter(file, { ...resume, metadata: { model: 'other' } })).rejects.toThrow(
      /another model/,
    )
    await expect(openIdWriter(file, { ...resume, shape: [1, 2] })).rejects.toThrow(VqConfigError)
    const ids = items.map(({ id }) => id)
    await expect(openIdWriter(file, { ...resume, sourceIds: ids.slice(1) })).rejects.toThrow(/no "item 0"/)
    await expect(openIdWriter(file, { ...resume, sourceIds: ids.toReversed() })).rejects.toThrow(
      VqConfigError,
    )
    // Items that could not be read are not there; those that are keep their order.
    const more = ['unreadable', ...ids]
    expect((await openIdWriter(file, { ...resume, sourceIds: more })).done).toBe(90)
    const part = join(partial, '00000001.vqids')
    const bytes = readFileSync(part)
    bytes[bytes.length >> 1] ^= 255
    writeFileSync(part, bytes)
    await expect(openIdWriter(file, resume)).rejects.toThrow(VqFormatError)
    rmSync(part)
    await expect(openIdWriter(file, resume)).rejects.toThrow(/part 1/)
    expect((await openIdWriter(file, options)).done).toBe(0)
    expect(readdirSync(partial)).toEqual(['journal.json'])
  })

  test('refuses a bad item when it comes, and takes none of that call', async () => {
    const writer = await openIdWriter(file, options)
    await writer.append(items.slice(0, 2))
    await expect(writer.append([items[2]!, { id: 'x', codes: [16, 0] }])).rejects.toThrow(/row 3/)
    await expect(writer.append([{ id: 'x', codes: [1, 0], caption: 'c' }])).rejects.toThrow(VqValueError)
    await writer.append(items.slice(2, 3))
    await writer.finish()
    expect((await readSemanticIds(file)).map(({ id }) => id)).toEqual(items.slice(0, 3).map(({ id }) => id))
  })
})
