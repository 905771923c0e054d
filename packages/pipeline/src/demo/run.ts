import { cpus } from 'node:os'
import { join } from 'node:path'
import { tf } from '@vq/core'
import { writeFileAtomic } from '@vq/core/io'
import { type DemoData, demoData } from './data.js'
import { type HeldOutFigures, measure } from './measure.js'
import { drawFigures, readMetrics, writeIds } from './outputs.js'
import { type DemoOptions, type DemoSettings, keepSettings, settle } from './settings.js'
import { trainDemo } from './train.js'

/** What a run of the demo measured; metrics.json holds it too. */
export interface DemoReport {
  settings: DemoSettings
  heldOut: HeldOutFigures
  trainingImages: number
  skippedFiles: number
  /** Training as it was logged last; encoding is from images to codes. */
  imagesPerSecond: { training: number; encoding: number }
  seconds: number
  backend: string
  machine: string
}

/** Lines for the person who waits. */
export type Say = (line: string) => void

/** From images to semantic IDs: data, training, codes, figures; everything into `options.out`. */
export async function runDemo(options: DemoOptions, say: Say, signal: AbortSignal): Promise<DemoReport> {
  const started = performance.now()
  const settings = await settle(options)
  const { out, resume = false } = options
  if (settings.data !== null) say(`Reading ${settings.data}`)
  const data = await demoData(settings, signal)
  announce(data, settings, say)
  if (!resume) await keepSettings(out, settings)

  const folder = join(out, 'model')
  const model = await trainDemo(settings, data, { folder, resume, signal })
  try {
    say('Measuring on held-out images, writing codes and figures')
    const { figures, counts } = await measure(model, data.heldOut, signal)
    const encoding = await writeIds(model, data, out, figures, signal)
    const log = await readMetrics(join(folder, 'metrics.jsonl'))
    await drawFigures(model, data, settings, out, { figures, counts, log })
    const training = Number(log.findLast(line => line.split === 'train')?.imagesPerSecond ?? Number.NaN)
    const report: DemoReport = {
      settings,
      heldOut: figures,
      trainingImages: data.train.length,
      skippedFiles: data.skipped.length,
      imagesPerSecond: { training, encoding },
      seconds: (performance.now() - started) / 1000,
      backend: tf.getBackend(),
      machine: `${cpus()[0]?.model.trim()}, ${cpus().length} threads, Node ${process.versions.node}`,
    }
    await writeFileAtomic(join(out, 'metrics.json'), `${JSON.stringify(report, null, 2)}\n`)
    return report
  } finally {
    model.dispose()
  }
}

const mostNamed = 10

function announce(
  { name, training, train, heldOut, skipped }: DemoData,
  settings: DemoSettings,
  say: Say,
): void {
  const count = (n: number): string => n.toLocaleString('en-US')
  if (skipped.length > 0) {
    say(`Skipped ${count(skipped.length)} ${skipped.length === 1 ? 'file' : 'files'}:`)
    for (const { file, reason } of skipped.slice(0, mostNamed)) say(`  ${file}: ${reason}`)
    if (skipped.length > mostNamed) say(`  and ${count(skipped.length - mostNamed)} more`)
  }
  const { size, codes, steps, batch } = settings
  say(`${count(train.length)} ${name} to train on, ${count(heldOut.length)} held out, ${size}×${size} pixels`)
  if (training !== train) say(`Few images: training sees ${count(training.length)} random crops of them`)
  say(
    `Training a VQ-VAE with ${codes} codes, ${count(steps)} steps of ${batch} images, on ${tf.getBackend()}`,
  )
}
