import { afterEach, expect, it, vi } from 'vitest'
import { clock, reporter } from '../src/train/progress.js'

const event = { step: 3, totalSteps: 10, epoch: 0, totalEpochs: 4, loss: 0.5, imagesPerSecond: 250, secondsLeft: 75 } // biome-ignore format: one line
const tty = process.stderr.isTTY
afterEach(() => {
  vi.restoreAllMocks()
  process.stderr.isTTY = tty
})

it('writes a line every ten seconds where there is no terminal', () => {
  process.stderr.isTTY = false
  const written = vi.spyOn(process.stderr, 'write').mockReturnValue(true)
  const now = vi.spyOn(performance, 'now').mockReturnValue(0)
  const { report, stop } = reporter(true)
  for (const time of [1_000, 9_999, 10_000, 19_000, 20_001]) {
    now.mockReturnValue(time)
    report(event)
  }
  stop()
  const line = 'step 3/10, epoch 1/4, loss 0.5000, 250 images/s, 1:15 left\n'
  expect(written.mock.calls.map(call => call[0])).toEqual([line, line])
})

it('draws a bar with the time left on a terminal', () => {
  process.stderr.isTTY = true
  let text = ''
  vi.spyOn(process.stderr, 'write').mockImplementation(part => {
    text += part
    return true
  })
  const { report, stop } = reporter(true)
  report(event)
  report({ ...event, step: 10, secondsLeft: 0 })
  stop()
  expect(text).toContain('step 10/10')
  expect(text).toContain('0:00 left')
})

it('writes times as clocks do', () => {
  expect([0, 59.6, 75, 3600 + 62, Number.POSITIVE_INFINITY].map(clock)).toEqual([
    '0:00',
    '1:00',
    '1:15',
    '1:01:02',
    '?',
  ])
})
