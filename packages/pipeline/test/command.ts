import { expect } from 'vitest'
import { runCommand } from '../../../test/contract/command.js'
import { main } from '../src/cli/main.js'

/** Runs the command in this process, with what it prints. */
export const vq = (...words: string[]) => runCommand(main, ['vq', ...words])

/** Runs a command that must succeed without a word of complaint; its result. */
export async function ok(...words: string[]): Promise<Record<string, unknown>> {
  const { code, out, err } = await vq(...words, '--json')
  expect({ code, err: code === 0 ? '' : err }).toEqual({ code: 0, err: '' })
  return JSON.parse(out) as Record<string, unknown>
}
