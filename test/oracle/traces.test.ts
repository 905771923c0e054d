import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadSafetensors } from '@vq/core/io'
import { afterAll, describe, expect, test } from 'vitest'

const python = process.env.VQ_PYTHON ?? 'python3'
const hasTorch = spawnSync(python, ['-c', 'import torch, safetensors.torch']).status === 0
const folder = mkdtempSync(join(tmpdir(), 'vq-traces-'))
afterAll(() => rmSync(folder, { recursive: true }))
const here = (name: string): string => new URL(name, import.meta.url).pathname

/** Ten losses against PyTorch's in float64, for as long as PyTorch's own float32 stays with them. */
async function compare(name: string, file: string): Promise<number> {
  const { tensors } = await loadSafetensors(file)
  const printed = execFileSync(process.execPath, ['--no-warnings', here('traces.mjs'), name, file], {
    encoding: 'utf8',
  })
  const { backend, losses } = JSON.parse(printed) as { backend: string; losses: number[] }
  expect(backend).toBe('vq-cpu')
  const [wanted, single] = ['losses64', 'losses32'].map(key => Array.from(tensors[key]!.data as Float64Array))
  let determined = 0
  for (const [i, loss] of losses.entries()) {
    const [ours, theirs] = [loss, single![i]!].map(l => Math.abs(l - wanted![i]!) / wanted![i]!)
    // A code chosen otherwise in a tie of rounding is a jump, after which two runs of PyTorch part ways as well.
    if (theirs! > 2e-5) break
    expect(ours, `loss ${i}: ${loss} instead of ${wanted![i]}`).toBeLessThan(1e-4)
    determined++
  }
  return determined
}

describe('ten training losses are PyTorch’s to 1e-4, from its weights on its batches', () => {
  test.each(['rqvae', 'igpt'])('a small %s', async name => {
    expect(await compare(`small-${name}`, here(`trace-${name}.safetensors`))).toBe(10)
  })

  // igpt-vqvae: PyTorch's float32 leaves its float64 at the second step, by a code chosen otherwise.
  test.skipIf(!hasTorch)(
    'the four models of peers/models.py at their full size (skipped where Python has no torch)',
    async () => {
      const least = { 'igpt-vqvae': 1, vqvae: 10, rqvae: 10, igpt: 10 }
      for (const [name, steps] of Object.entries(least)) {
        const file = join(folder, `${name}.safetensors`)
        execFileSync(python, [here('traces.py'), name, file, '2'])
        expect(await compare(name, file), name).toBeGreaterThanOrEqual(steps)
      }
    },
    600_000,
  )
})
