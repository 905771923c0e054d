// A training run killed at random moments and resumed each time ends as one that was left alone: weights, their average,
// moments, generators, records, metrics and event files. The runs are processes of their own, on the built packages.
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Random } from '@vq/core'
import { loadSafetensors } from '@vq/core/io'
import type { Metrics } from '@vq/models/train'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { readScalars } from './event-reader.js'

const kills = process.env.VQ_TEST_FULL ? 20 : 3
const program = new URL('fixtures/train-to-be-killed.mjs', import.meta.url).pathname
const built = existsSync(new URL('../dist/train/index.js', import.meta.url))
let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'vq-kill-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

const steps = String(60 + 30 * kills)

/**
 * Runs the program; resolves to its exit code, null where it was killed: some milliseconds after its nth step, or after its
 * start for step 0, while it loads what is there.
 */
function run(out: string, kill?: { step: number; delay: number }): Promise<number | null> {
  return new Promise(resolve => {
    const child = spawn(process.execPath, [program, out, steps], { stdio: ['ignore', 'pipe', 'inherit'] })
    const end = (): void => void setTimeout(() => child.kill('SIGKILL'), kill!.delay)
    if (kill?.step === 0) end()
    let seen = 0
    child.stdout.on('data', (dots: Buffer) => {
      const before = seen
      seen += dots.length
      if (kill !== undefined && before < kill.step && seen >= kill.step) end()
    })
    child.on('exit', code => resolve(code))
  })
}

/** Everything that a run leaves, but for clocks. */
async function left(out: string): Promise<Record<string, unknown>> {
  const checkpoints = readdirSync(join(out, 'checkpoints')).sort()
  const found: Record<string, unknown> = { checkpoints }
  for (const name of [...checkpoints.map(c => join('checkpoints', c)), 'best']) {
    found[`${name}/files`] = readdirSync(join(out, name)).sort()
    found[`${name}/state`] = JSON.parse(readFileSync(join(out, name, 'state.json'), 'utf8'))
    for (const file of readdirSync(join(out, name)).filter(f => f.endsWith('.safetensors')))
      found[join(name, file)] = (await loadSafetensors(join(out, name, file))).tensors
  }
  found.hidden = readdirSync(out, { recursive: true }).filter(path => /(^|[/\\])\./.test(String(path)))
  const clocks = ['imagesPerSecond', 'dataWait']
  found.metrics = readFileSync(join(out, 'metrics.jsonl'), 'utf8')
    .trimEnd()
    .split('\n')
    .map(line => {
      const metrics: Metrics = JSON.parse(line)
      return Object.entries(metrics).filter(([name]) => !clocks.includes(name))
    })
  for (const split of ['train', 'validation']) {
    const names = readdirSync(join(out, 'events', split)).sort()
    const scalars = names.flatMap(name => readScalars(readFileSync(join(out, 'events', split, name))))
    found[`events/${split}`] = scalars.filter(({ tag }) => !clocks.includes(tag))
  }
  return found
}

it.skipIf(!built)(
  `ends the same after ${kills} kills (skipped where the packages are not built)`,
  { timeout: 300_000 },
  async () => {
    const [whole, broken] = [join(folder, 'whole'), join(folder, 'broken')]
    expect(await run(whole)).toBe(0)
    const random = new Random(1)
    for (let i = 0; i < kills; i++) {
      const early = i % 5 === 4
      const kill = early
        ? { step: 0, delay: 250 + random.integer(300) }
        : { step: 1 + random.integer(20), delay: random.integer(12) }
      expect(await run(broken, kill)).toBe(null)
    }
    expect(await run(broken)).toBe(0)
    const [a, b] = [await left(whole), await left(broken)]
    expect(a.hidden).toEqual([])
    expect(Object.keys(b)).toEqual(Object.keys(a))
    for (const [name, value] of Object.entries(a)) expect(b[name], name).toEqual(value)
    expect(a.checkpoints).toEqual([
      `step-${String(Number(steps) - 5).padStart(8, '0')}`,
      `step-${steps.padStart(8, '0')}`,
    ])
    expect((a.metrics as unknown[]).length).toBe(Number(steps) + Math.ceil(Number(steps) / 4))
    expect((a['best/state'] as { more: { best: { step: number } } }).more.best.step % 4).toBe(0)
    expect(a[`checkpoints/step-${steps.padStart(8, '0')}/files`]).toEqual([
      'average.safetensors',
      'model.safetensors',
      'optimizer.safetensors',
      'state.json',
    ])
  },
)
