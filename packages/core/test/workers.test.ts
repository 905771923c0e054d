import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { Worker } from 'node:worker_threads'
import { expect, test } from 'vitest'

// Workers run the built package: a worker thread loads what Node itself can load.
const full = process.env.VQ_TEST_FULL === '1'
const built = existsSync(new URL('../dist/index.js', import.meta.url))
const program = new URL('fixtures/worker-training.mjs', import.meta.url)

interface Work {
  backend: string
  losses: number[]
}

test.skipIf(!built)(
  'four workers that train and quantize at once give the bits of the main thread (skipped where nothing is built)',
  async () => {
    const steps = full ? 200 : 20
    const { work } = (await import(/* @vite-ignore */ program.href)) as { work: (steps: number) => Work }
    const expected = work(steps)
    expect(expected.backend).toBe('vq-cpu')
    expect(expected.losses.at(-1)).toBeLessThan(expected.losses[0])
    const results = await Promise.all(
      [0, 1, 2, 3].map(
        () =>
          new Promise((resolve, reject) => {
            const worker = new Worker(program, { workerData: { steps } })
            worker.once('error', reject)
            worker.once('message', resolve)
          }),
      ),
    )
    for (const result of results) expect(result).toEqual(expected)
  },
)

test.skipIf(!built)(
  'a process outlives workers that end in the middle of kernels and asynchronous calls, and does not grow',
  { timeout: 300_000 },
  () => {
    const rounds = full ? 120 : 24
    const script = new URL('fixtures/workers-ended.mjs', import.meta.url).pathname
    const { status, signal, stdout, stderr } = spawnSync(process.execPath, [script, String(rounds)], {
      encoding: 'utf8',
      // One arena: what the C library keeps for itself would hide what is lost.
      env: { ...process.env, MALLOC_ARENA_MAX: '1' },
    })
    expect({ status, signal, stderr }).toEqual({ status: 0, signal: null, stderr: '' })
    const resident = JSON.parse(stdout) as number[]
    expect(resident).toHaveLength(rounds)
    // The first rounds fill the allocators; two workers leave some 30 MB of tensors and rows behind if nothing is freed.
    const [early, late] = [resident.slice(rounds / 4, rounds / 2), resident.slice(-rounds / 4)]
    expect(Math.min(...late) - Math.max(...early)).toBeLessThan(40 * 2 ** 20)
  },
)
