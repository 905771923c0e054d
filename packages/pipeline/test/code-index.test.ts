import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { VqShapeError, VqValueError } from '@vq/core'
import { CodeIndex, disambiguate, type SemanticId } from '@vq/pipeline'
import fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'

const folder = mkdtempSync(join(tmpdir(), 'vq-index-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const code = fc.oneof(fc.nat(2), fc.constantFrom(65_535, 65_536, 2 ** 31 - 1))
const tables = fc
  .integer({ min: 1, max: 4 })
  .chain(levels =>
    fc.array(fc.array(code, { minLength: levels, maxLength: levels }), { minLength: 1, maxLength: 40 }),
  )
const named = (rows: number[][]): SemanticId[] => rows.map((codes, i) => ({ id: `i${i}`, codes }))
const startsWith = (row: number[], prefix: number[]): boolean => prefix.every((value, i) => row[i] === value)

describe('an index of codes', () => {
  test('finds and counts what a walk over all items finds, in the order of codes, then of addition', async () => {
    await fc.assert(
      fc.asyncProperty(tables, fc.array(code, { maxLength: 4 }), async (rows, some) => {
        const index = await CodeIndex.build(named(rows))
        const sorted = rows
          .map((row, i) => ({ row, i }))
          .sort((a, b) => {
            const at = a.row.findIndex((value, level) => value !== b.row[level])
            return at < 0 ? a.i - b.i : a.row[at]! - b.row[at]!
          })
        const prefixes = [
          [],
          some.slice(0, index.levels),
          ...rows.flatMap(row => row.map((_, i) => row.slice(0, i + 1))),
        ]
        for (const prefix of prefixes) {
          const expected = sorted.filter(({ row }) => startsWith(row, prefix)).map(({ i }) => `i${i}`)
          expect(index.find(prefix)).toEqual(expected)
          expect(index.find(prefix, 2)).toEqual(expected.slice(0, 2))
          expect(index.count(prefix)).toBe(expected.length)
          if (prefix.length === index.levels) continue
          const counts = new Map<number, number>()
          for (const { row } of sorted)
            if (startsWith(row, prefix))
              counts.set(row[prefix.length]!, (counts.get(row[prefix.length]!) ?? 0) + 1)
          expect(index.counts(prefix)).toEqual([...counts].map(([value, count]) => ({ code: value, count })))
        }
      }),
      { numRuns: 60 },
    )
  })

  test('gives the nearest by shared prefix, then by equal codes, then by addition', async () => {
    await fc.assert(
      fc.asyncProperty(tables, fc.nat(39), fc.integer({ min: 1, max: 50 }), async (rows, which, k) => {
        const index = await CodeIndex.build(named(rows))
        const query = rows[which % rows.length]!.map(
          (value, level) => (level === which % 3 ? value + 1 : value) % 2 ** 31,
        )
        const scored = rows.map((row, i) => {
          const differs = row.findIndex((value, level) => value !== query[level])
          const shared = differs < 0 ? row.length : differs
          return {
            id: `i${i}`,
            shared,
            equal: row.filter((value, level) => value === query[level]).length,
            i,
          }
        })
        scored.sort((a, b) => b.shared - a.shared || b.equal - a.equal || a.i - b.i)
        const found = index
          .nearest(query, k)
          .map(({ id, shared, equal, item }) => ({ id, shared, equal, i: item }))
        expect(found).toEqual(scored.slice(0, k))
      }),
      { numRuns: 150 },
    )
  })

  test.each(['vqids', 'parquet', 'jsonl'])('is saved as %s and comes back', async format => {
    const rows = Array.from({ length: 300 }, (_, i) => [i % 7, (i * 31) % 11, i % 2])
    const index = await CodeIndex.build(named(rows))
    const file = join(folder, `index.${format}`)
    await index.save(file)
    const back = await CodeIndex.load(file)
    expect([back.length, back.levels]).toEqual([300, 3])
    expect(back.find([])).toEqual(index.find([]))
    expect(back.codesOf(299)).toEqual(Int32Array.from(rows[299]!))
  })

  test('refuses items of other models and codes that are none', async () => {
    const build = (...items: SemanticId[]) => CodeIndex.build(items)
    await expect(build()).rejects.toThrow(VqValueError)
    await expect(build({ id: 'a', codes: [1] }, { id: 'b', codes: [1, 2] })).rejects.toThrow(VqShapeError)
    await expect(build({ id: 'a', codes: [-1] })).rejects.toThrow(/-1 of item 0/)
    const index = await build({ id: 'a', codes: [1, 2] })
    expect(() => index.find([1, 2, 3])).toThrow(VqShapeError)
    expect(() => index.nearest([1], 1)).toThrow(VqShapeError)
    expect(() => index.counts([1, 2])).toThrow(VqShapeError)
  })
})

describe('a disambiguating level', () => {
  const batches = fc.array(
    fc.array(fc.tuple(fc.nat(30), fc.array(fc.nat(1), { minLength: 2, maxLength: 2 })), { maxLength: 20 }),
    {
      minLength: 1,
      maxLength: 4,
    },
  )

  test('makes codes unique, counts from 0, and never changes what it gave, however many items are added', () => {
    fc.assert(
      fc.property(batches, runs => {
        const given = new Map<string, string>()
        const all = new Map<string, SemanticId>()
        for (const run of runs) {
          // An item keeps its codes from run to run, as an artifact gives the same ones.
          for (const [n, codes] of run) if (!all.has(`i${n}`)) all.set(`i${n}`, { id: `i${n}`, codes })
          const items = run
            .map(([n]) => all.get(`i${n}`)!)
            .filter((item, i, list) => list.indexOf(item) === i)
          const before = [...given].map(([id, codes]) => ({ id, codes: codes.split(',').map(Number) }))
          for (const { id, codes } of disambiguate(items, before)) {
            const text = codes.join(',')
            expect(given.get(id) ?? text).toBe(text)
            given.set(id, text)
          }
        }
        expect(new Set(given.values()).size).toBe(given.size)
        const numbers = new Map<string, number[]>()
        for (const codes of given.values()) {
          const values = codes.split(',').map(Number)
          const key = values.slice(0, -1).join(',')
          numbers.set(key, [...(numbers.get(key) ?? []), values.at(-1)!])
        }
        for (const list of numbers.values()) expect(list.sort((a, b) => a - b)).toEqual(list.map((_, i) => i))
      }),
      { numRuns: 100 },
    )
  })

  test('keeps what belongs to the items, and refuses what it cannot tell apart', () => {
    const [item] = disambiguate([{ id: 'a', codes: [5], caption: 'c' }])
    expect(item).toEqual({ id: 'a', codes: Int32Array.of(5, 0), caption: 'c' })
    const twice = [
      { id: 'a', codes: [1] },
      { id: 'a', codes: [2] },
    ]
    expect(() => disambiguate(twice)).toThrow(VqValueError)
    const same = [
      { id: 'a', codes: [1, 0] },
      { id: 'b', codes: [1, 0] },
    ]
    expect(() => disambiguate([], same)).toThrow(/as "a"/)
    expect(() => disambiguate([], [{ id: 'a', codes: [1] }])).toThrow(VqValueError)
    // An item whose codes changed is a new one.
    expect(disambiguate([{ id: 'a', codes: [2] }], [{ id: 'a', codes: [1, 4] }])[0]!.codes).toEqual(
      Int32Array.of(2, 0),
    )
  })
})
