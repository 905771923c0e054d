import cliProgress from 'cli-progress'
import type { ProgressEvent } from './options.js'

/** Where progress goes. */
export interface Reporter {
  report(event: ProgressEvent): void
  stop(): void
}

const secondsBetweenLines = 10

export function reporter(progress: boolean | ((event: ProgressEvent) => void)): Reporter {
  if (typeof progress === 'function') return { report: progress, stop: () => {} }
  if (!progress) return { report: () => {}, stop: () => {} }
  return process.stderr.isTTY ? bar() : lines()
}

function bar(): Reporter {
  const format = 'step {value}/{total} {bar} {percentage}% | loss {loss} | {rate} images/s | {left} left'
  const shown = new cliProgress.SingleBar({ format, hideCursor: true }, cliProgress.Presets.shades_classic)
  let started = false
  return {
    report: ({ step, totalSteps, loss, imagesPerSecond, secondsLeft }) => {
      const payload = { loss: loss.toFixed(4), rate: imagesPerSecond.toFixed(0), left: clock(secondsLeft) }
      if (started) shown.update(step, payload)
      else shown.start(totalSteps, step, payload)
      started = true
    },
    stop: () => shown.stop(),
  }
}

function lines(): Reporter {
  let last = performance.now()
  return {
    report: ({ step, totalSteps, epoch, totalEpochs, loss, imagesPerSecond, secondsLeft }) => {
      if (performance.now() - last < secondsBetweenLines * 1000) return
      last = performance.now()
      const rate = `${imagesPerSecond.toFixed(0)} images/s`
      process.stderr.write(
        `step ${step}/${totalSteps}, epoch ${epoch + 1}/${totalEpochs}, loss ${loss.toFixed(4)}, ${rate}, ${clock(secondsLeft)} left\n`,
      )
    },
    stop: () => {},
  }
}

/** 75 → '1:15'. */
export function clock(seconds: number): string {
  if (!Number.isFinite(seconds)) return '?'
  const whole = Math.round(seconds)
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60]
  const two = (n: number): string => String(n).padStart(2, '0')
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`
}
