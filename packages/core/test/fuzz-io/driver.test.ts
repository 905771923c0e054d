import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { VqFormatError } from '@vq/core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Rng } from '../fuzz/rng.js'
import { corpusFiles, judged, type Parser } from './driver.js'
import { mutate } from './mutate.js'

let folder: string
let path: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'vq-fuzz-driver-'))
  path = join(folder, 'file')
  writeFileSync(path, 'four')
})
afterAll(() => rmSync(folder, { recursive: true }))

const judge = (parse: Parser['parse']): Promise<string> =>
  judged({ name: 'p', corpus: 'npy', parse }, path, 4)
const typed = (received: string): VqFormatError =>
  new VqFormatError({ operation: 'p', expected: 'a', received, remedy: 'r' })

describe('the judge of parsers', () => {
  it('takes a typed error and a result of bounded size', async () => {
    expect(await judge(async () => [new Uint8Array(4)])).toBe('read')
    expect(await judge(() => Promise.reject(typed('b')))).toBe('refused')
  })

  it('tells other errors, results and allocations beyond the file, and messages that repeat it', async () => {
    expect(await judge(() => Promise.reject(new TypeError('undefined is not a function')))).toMatch(
      /threw TypeError/,
    )
    expect(await judge(() => Promise.reject(undefined))).toBe('threw undefined')
    expect(await judge(async () => [new Uint8Array(2 << 20)])).toMatch(/2097152 bytes came of 4/)
    const kept: Uint8Array[] = []
    const greedy = async (): Promise<[]> => {
      kept.push(new Uint8Array(64 << 20).fill(1))
      return []
    }
    expect(await judge(greedy)).toMatch(/bytes were allocated for 4/)
    expect(await judge(() => Promise.reject(typed('x'.repeat(5000))))).toMatch(/a message of/)
  })
})

describe('the changes', () => {
  it('follow from the seed, differ between seeds, and leave the corpus as it is', () => {
    const files = corpusFiles('npy').map(([, bytes]) => bytes)
    const before = Buffer.concat(files)
    const made = (seed: number): string => mutate(files[0], new Rng(seed), files).toString('hex')
    const all = Array.from({ length: 300 }, (_, seed) => made(seed))
    expect(all.map((_, seed) => made(seed))).toEqual(all)
    expect(new Set(all).size).toBeGreaterThan(200)
    expect(Buffer.concat(files)).toEqual(before)
  })
})
