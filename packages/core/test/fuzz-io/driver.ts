import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type VqError, VqFormatError } from '@vq/core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Rng } from '../fuzz/rng.js'
import { watchedText } from '../fuzz/watchdog.js'
import { mutate } from './mutate.js'

const full = process.env.VQ_TEST_FULL === '1'
/** VQ_FUZZ_SEED starts elsewhere; VQ_FUZZ_RUNS sets how many files a parser gets. */
const firstSeed = Number(process.env.VQ_FUZZ_SEED ?? 1)
const runs = Number(process.env.VQ_FUZZ_RUNS ?? (full ? 30_000 : 3000))
/** Where files go on which a parser failed; they belong into the corpus once it does not. */
const failures = process.env.VQ_FUZZ_FAILURES ?? join(tmpdir(), 'vq-fuzz-io-failures')

/** Where made files lie: in memory where that is possible. */
export const scratch: string = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()

export interface Parser {
  name: string
  /** Folder under `corpus/` whose files the others are made from. A folder in it is one case: the files that belong together. */
  corpus: string
  /** How a file's name ends that is made, where the parser looks at it. */
  ending?: string
  /** Changes that know the format; by default bytes, numbers and pieces are changed. */
  mutate?: (bytes: Buffer, rng: Rng, others: readonly Buffer[]) => Buffer
  /**
   * Reads all of a file. Throws only VqFormatError; what it returns must hold no more than `factor` bytes for each of the file.
   * It checks itself that what it returns agrees with what the file says, and throws an ordinary error where not.
   */
  parse: (path: string) => Promise<readonly ArrayBufferView[]>
  /** Most bytes in memory per byte of the file, on top of `slack`. Default 16: bits of the smallest types as float32. */
  factor?: number
  /** Errors that count as an answer besides VqFormatError. */
  typed?: (error: unknown) => boolean
}

const slack = 1 << 20

/** The files of a corpus folder, by name. */
export function corpusFiles(corpus: string): [string, Buffer][] {
  const folder = join(import.meta.dirname, 'corpus', corpus)
  const files = readdirSync(folder)
    .sort()
    .map((name): [string, Buffer] => [name, readFileSync(join(folder, name))])
  if (files.length === 0) throw new Error(`no files in ${folder}`)
  return files
}

/** Runs a parser over its corpus as it is, then over changed files of it. */
export function fuzzParser(parser: Parser): void {
  const { name, corpus, ending = '' } = parser
  const files = corpusFiles(corpus)
  let folder: string
  beforeAll(() => {
    folder = mkdtempSync(join(scratch, `vq-fuzz-${corpus}-`))
  })
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  test(`${name}: reads the valid files of its corpus, and refuses the others with a typed error`, async () => {
    for (const [file, bytes] of files) {
      const path = join(folder, `${file}${ending}`)
      writeFileSync(path, bytes)
      const outcome = await judged(parser, path, bytes.length)
      expect(outcome, file).toBe(file.startsWith('bad') ? 'refused' : 'read')
    }
  })

  test(`${name}: answers changed files with what they hold or a typed error, in bounded memory`, {
    timeout: 24 * 3600_000,
  }, async () => {
    const all = files.map(([, bytes]) => bytes)
    const path = join(folder, `case${ending}`)
    const counts: Record<string, number> = { read: 0, refused: 0 }
    for (let seed = firstSeed; seed < firstSeed + runs; seed++) {
      const rng = new Rng(seed)
      const bytes = (parser.mutate ?? mutate)(rng.pick(all), rng, all)
      writeFileSync(path, bytes)
      const done = watchedText(`${name}, VQ_FUZZ_SEED=${seed}`)
      const outcome = await judged(parser, path, bytes.length)
      done()
      if (outcome in counts) counts[outcome]++
      else {
        mkdirSync(failures, { recursive: true })
        const kept = join(failures, `${corpus}-${seed}${ending}`)
        writeFileSync(kept, bytes)
        expect.fail(`${name}, VQ_FUZZ_SEED=${seed}, kept as ${kept}: ${outcome}`)
      }
    }
    // Changes of which all or none are refused would test little.
    expect(counts.refused).toBeGreaterThan(runs / 20)
    if (runs >= 1000) expect(counts.read).toBeGreaterThan(0)
  })
}

/** 'read', 'refused', or what is wrong. */
export async function judged(parser: Parser, path: string, size: number): Promise<string> {
  const { factor = 16, typed = (error: unknown) => error instanceof VqFormatError } = parser
  const most = size * factor + slack
  const before = process.memoryUsage().arrayBuffers
  let outcome = 'read'
  try {
    const arrays = await parser.parse(path)
    const held = arrays.reduce((sum, { byteLength }) => sum + byteLength, 0)
    if (held > most) return `${held} bytes came of ${size}`
  } catch (error) {
    if (!typed(error)) return `threw ${(error as Error)?.stack ?? String(error)}`
    // A message is for people: it does not repeat the file.
    const { message } = error as VqError
    if (message.length > 4000) return `a message of ${message.length} characters`
    outcome = 'refused'
  }
  // Whatever was allocated on the way is counted until it is collected, which may be at any time: at worst this misses some.
  const grown = process.memoryUsage().arrayBuffers - before
  return grown > 4 * most ? `${grown} bytes were allocated for ${size}` : outcome
}
