// Runs of the command as processes of their own, on the built packages, killed after their first checkpoint.
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadSafetensors } from '@vq/core/io'
import { listCheckpoints } from '@vq/models/train'
import { afterAll, expect, test } from 'vitest'
import { writePets } from './tiny-data.js'

const program = join(import.meta.dirname, '../bin/vq-segment.js')
const built = existsSync(join(import.meta.dirname, '../dist/cli/main.js'))
const folder = mkdtempSync(join(tmpdir(), 'vq-segment-kill-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** Resolves to the exit code; null where it was killed, as soon as a checkpoint is listed. */
function run(name: string, words: readonly string[], kill = false): Promise<number | null> {
  return new Promise(resolve => {
    const shared = ['--data-path', join(folder, 'pets'), '--output-dir', folder, '--experiment-name', name]
    const child = spawn(process.execPath, [program, ...words, ...shared], {
      stdio: ['ignore', 'ignore', 'inherit'],
      env: { ...process.env, VQ_NUM_THREADS: '1' },
    })
    const watch = kill
      ? setInterval(async () => {
          if ((await listCheckpoints(join(folder, name, 'checkpoints'))).length > 0) child.kill('SIGKILL')
        }, 5)
      : undefined
    child.on('exit', code => {
      clearInterval(watch)
      resolve(code)
    })
  })
}

test.skipIf(!built)(
  'a run that was killed after a checkpoint goes on to the same weights, bit for bit (skipped where the package is not built)',
  { timeout: 180_000 },
  async () => {
    await writePets(join(folder, 'pets'), 10)
    const words = ['squeeze', '--model', 'small', '--head-width', '8', '--image-size', '32', '--epochs', '12', '--quantizer-type', 'rvq', '--codebook-size', '8', '--bottleneck-dim', '4', '--average-decay', '0.9'] // biome-ignore format: one line
    expect(await run('whole', words)).toBe(0)
    expect(await run('killed', words, true)).toBe(null)
    expect(existsSync(join(folder, 'killed/results.json'))).toBe(false)
    expect(await run('killed', [...words, '--resume'])).toBe(0)
    for (const name of ['best.safetensors', 'last.safetensors']) {
      const [a, b] = await Promise.all(
        ['whole', 'killed'].map(async run => (await loadSafetensors(join(folder, run, name))).tensors),
      )
      const other = Object.keys(a!).filter(key => !Buffer.from(a![key]!.data.buffer).equals(Buffer.from(b![key]!.data.buffer))) // biome-ignore format: one line
      expect([name, other, Object.keys(b!).length]).toEqual([name, [], Object.keys(a!).length])
    }
    expect(readdirSync(join(folder, 'killed')).filter(name => name.startsWith('.'))).toEqual([])
  },
)
