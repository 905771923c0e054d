// A training run killed at random moments and resumed each time ends as one that was left alone. The runs are processes
// of their own, on the built packages.
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Random } from '@vq/core'
import { loadSafetensors } from '@vq/core/io'
import type { Metrics } from '@vq/models/train'
import { afterAll, beforeAll, expect, it } from 'vitest'

const kills = process.env.VQ_TEST_FULL ? 20 : 3
const program = new URL('fixtures/train-to-be-killed.mjs', import.meta.url).pathname
const built = existsSync(new URL('../dist/train/index.js', import.meta.url))
let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'vq-kill-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

const steps = String(60 + 20 * kills)

/** Runs the program; resolves to its exit code, null where it was killed, some milliseconds after its nth step. */
function run(out: string, kill?: { step: number; delay: number }): Promise<number | null> {
  return new Promise(resolve => {
    const child = spawn(process.execPath, [program, out, steps], { stdio: ['ignore', 'pipe', 'inherit'] })
    let seen = 0
    child.stdout.on('data', (dots: Buffer) => {
      const before = seen
      seen += dots.length
      if (kill !== undefined && before < kill.step && seen >= kill.step)
        setTimeout(() => child.kill('SIGKILL'), kill.delay)
    })
    child.on('exit', code => resolve(code))
  })
}

it.skipIf(!built)(
  'ends with the same weights (skipped where the packages are not built)',
  { timeout: 300_000 },
  async () => {
    const [whole, broken] = [join(folder, 'whole'), join(folder, 'broken')]
    expect(await run(whole)).toBe(0)
    const random = new Random(1)
    let killed = 0
    for (let i = 0; i < kills; i++) {
      const kill = { step: 1 + random.integer(20), delay: random.integer(10) }
      if ((await run(broken, kill)) === null) killed++
    }
    expect(killed).toBeGreaterThan(0)
    expect(await run(broken)).toBe(0)
    const last = (out: string): string =>
      join(out, 'checkpoints', readdirSync(join(out, 'checkpoints')).sort().at(-1)!)
    for (const file of ['model.safetensors', 'optimizer.safetensors']) {
      const [a, b] = await Promise.all([whole, broken].map(out => loadSafetensors(join(last(out), file))))
      expect(b.tensors).toEqual(a.tensors)
    }
    expect(readFileSync(join(last(broken), 'state.json'), 'utf8')).toBe(
      readFileSync(join(last(whole), 'state.json'), 'utf8'),
    )
    // One line per step, as if nothing had happened; speeds differ.
    const log = (out: string): [number, number][] =>
      readFileSync(join(out, 'metrics.jsonl'), 'utf8')
        .trimEnd()
        .split('\n')
        .map(line => JSON.parse(line) as Metrics)
        .map(({ step, loss }) => [step, loss])
    expect(log(broken)).toEqual(log(whole))
    expect(readdirSync(join(broken, 'checkpoints')).every(name => name.startsWith('step-'))).toBe(true)
  },
)
