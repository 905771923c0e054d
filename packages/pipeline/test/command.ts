import { expect, vi } from 'vitest'
import { main } from '../src/cli/main.js'

/** Runs the command in this process, with what it prints. */
export async function vq(...words: string[]): Promise<{ code: number; out: string; err: string }> {
  const written = { out: '', err: '' }
  for (const [stream, name] of [
    [process.stdout, 'out'],
    [process.stderr, 'err'],
  ] as const)
    vi.spyOn(stream, 'write').mockImplementation(text => {
      written[name] += text
      return true
    })
  const code = await main(['node', 'vq', ...words])
  vi.restoreAllMocks()
  return { code, ...written }
}

/** Runs a command that must succeed without a word of complaint; its result. */
export async function ok(...words: string[]): Promise<Record<string, unknown>> {
  const { code, out, err } = await vq(...words, '--json')
  expect({ code, err: code === 0 ? '' : err }).toEqual({ code: 0, err: '' })
  return JSON.parse(out) as Record<string, unknown>
}
