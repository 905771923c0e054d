import { afterEach, expect, it, vi } from 'vitest'
import { Pace } from '../src/train/pace.js'

let now = 1000
vi.spyOn(performance, 'now').mockImplementation(() => now)
afterEach(() => {
  now = 1000
})

/** One step of `ms` after `between` ms of other work. */
function step(pace: Pace, ms: number, between = 0): void {
  now += between
  pace.begin()
  now += ms
  pace.end(8)
}

it('tells the time left from the steps of this process alone, as they are now', () => {
  // Resumed at step 900 of 2000: what came before is not counted.
  const pace = new Pace(900)
  for (let i = 1; i <= 10; i++) step(pace, 100)
  expect(pace.estimate(910, 2000).secondsLeft).toBeCloseTo(109, 6)
  expect(pace.imagesPerSecond).toBeCloseTo(80, 6)
  // Steps become twice as slow: half of it is known after fifty, nearly all after five hundred.
  for (let i = 1; i <= 50; i++) step(pace, 200)
  const half = (pace.estimate(960, 2000).secondsLeft / 1040) * 1000
  expect(half).toBeGreaterThan(150)
  expect(half).toBeLessThan(200)
  for (let i = 1; i <= 500; i++) step(pace, 200)
  expect(pace.estimate(1460, 2000).secondsLeft).toBeCloseTo(540 * 0.2, 0)
  expect(pace.estimate(2000, 2000).secondsLeft).toBe(0)
})

it('spreads evaluations and checkpoints over the run instead of jumping at each', () => {
  const pace = new Pace(0)
  for (let i = 1; i <= 100; i++) step(pace, 100, i % 10 === 1 && i > 1 ? 500 : 0)
  // 9 pauses of half a second in 100 steps.
  expect(pace.estimate(100, 200).secondsLeft).toBeCloseTo(10 + 4.5, 6)
})

it('tells the share of the time spent waiting for data, in all and since it was last asked', async () => {
  const pace = new Pace(0)
  const wait = (ms: number): Promise<void> =>
    pace.forData(
      Promise.resolve().then(() => {
        now += ms
      }),
    )
  await wait(30)
  now += 70
  expect(pace.takeDataWait()).toBeCloseTo(0.3, 6)
  now += 100
  expect(pace.takeDataWait()).toBe(0)
  expect(pace.dataWait).toBeCloseTo(0.15, 6)
})
