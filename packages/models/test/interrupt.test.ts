// Ctrl-C and SIGTERM, as a program of a user's meets them; the programs run on the built packages.
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { TrainingInterrupted } from '@vq/models/train'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Interrupts } from '../src/train/interrupt.js'

const program = new URL('fixtures/train-until-interrupted.mjs', import.meta.url).pathname
const built = existsSync(new URL('../dist/train/index.js', import.meta.url))
let out: string
beforeEach(() => {
  out = mkdtempSync(join(tmpdir(), 'vq-interrupt-'))
})
afterEach(() => rmSync(out, { recursive: true }))

interface Ended {
  code: number | null
  signal: NodeJS.Signals | null
  said: string[]
}

/** Runs the program, sends it signals once it trains, each when it has answered the one before, and waits for its end. */
function run(mode: 'on' | 'off' | 'slow', signals: NodeJS.Signals[]): Promise<Ended> {
  return new Promise(resolve => {
    const child = spawn(process.execPath, [program, out, mode], { stdio: ['ignore', 'pipe', 'pipe'] })
    let said = ''
    child.stdout.on('data', text => {
      said += text
      if (said === 'running\n') child.kill(signals[0])
    })
    child.stderr.once('data', () => {
      if (signals[1] !== undefined) child.kill(signals[1])
    })
    const late = setTimeout(() => child.kill('SIGKILL'), 20_000)
    child.on('exit', (code, signal) => {
      clearTimeout(late)
      resolve({ code, signal, said: said.trimEnd().split('\n') })
    })
  })
}
const checkpoints = (): string[] => readdirSync(join(out, 'checkpoints'))

describe.skipIf(!built)('a signal (skipped where the packages are not built)', () => {
  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)(
    '%s writes a checkpoint, and the program can exit with %i',
    async (name, code) => {
      const ended = await run('on', [name])
      expect([ended.code, ended.signal]).toEqual([code, null])
      const report = JSON.parse(ended.said[1]!)
      expect(report).toMatchObject({ name: 'AbortError', signal: name, listeners: 0 })
      expect(checkpoints().at(-1)).toBe(`step-${String(report.step).padStart(8, '0')}`)
      // The next call goes on from there, and can be ended again.
      const again = JSON.parse((await run('on', [name])).said.at(-1)!)
      expect(again.step).toBeGreaterThan(report.step)
    },
    60_000,
  )

  it('twice ends the program at once', async () => {
    expect(await run('slow', ['SIGINT', 'SIGINT'])).toMatchObject({ code: null, signal: 'SIGINT' })
  }, 60_000)

  it('does what it does without us where we are told to leave it', async () => {
    expect(await run('off', ['SIGINT'])).toEqual({ code: null, signal: 'SIGINT', said: ['running'] })
  }, 60_000)
})

it('listeners are there only while they are wanted', () => {
  const count = (): number => process.listenerCount('SIGINT') + process.listenerCount('SIGTERM')
  const before = count()
  const none = new Interrupts(false)
  expect(count()).toBe(before)
  const both = new Interrupts(true)
  expect(count()).toBe(before + 2)
  both.stop()
  none.stop()
  expect([count(), both.received]).toEqual([before, undefined])
  const error = new TrainingInterrupted(3, 'SIGTERM', 'SIGTERM', 'Resume.')
  expect([error.name, error.exitCode, error.step]).toEqual(['AbortError', 143, 3])
})
