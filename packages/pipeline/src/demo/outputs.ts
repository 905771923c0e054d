import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { VQVAE } from '@vq/models'
import { codebookUsage, reconstructionGrid, type TrainingPoint, trainingCurves } from '@vq/models/plot'
import type { Metrics } from '@vq/models/train'
import { writeSemanticIds } from '../semantic-ids/index.js'
import type { SemanticId } from '../semantic-ids/record.js'
import { curvePoint } from './curves.js'
import type { DemoData } from './data.js'
import { type HeldOutFigures, reconstructions, semanticIds } from './measure.js'
import type { DemoSettings } from './settings.js'

const shown = 24

/** Writes ids.parquet and ids.jsonl for training and held-out images; returns images encoded per second. */
export async function writeIds(
  model: VQVAE,
  { train, heldOut }: DemoData,
  out: string,
  figures: HeldOutFigures,
  signal: AbortSignal,
): Promise<number> {
  const started = performance.now()
  const ids: SemanticId[] = []
  for (const part of [train, heldOut])
    for await (const item of semanticIds(model, part, signal)) ids.push(item)
  const seconds = (performance.now() - started) / 1000
  const metadata = { num_embeddings: String(figures.numEmbeddings), grid: figures.grid.join('x') }
  await writeSemanticIds(join(out, 'ids.parquet'), ids, { metadata })
  await writeSemanticIds(join(out, 'ids.jsonl'), ids)
  return ids.length / seconds
}

/** Draws reconstructions.png, training_curves.png and codebook_usage.png. */
export async function drawFigures(
  model: VQVAE,
  data: DemoData,
  settings: DemoSettings,
  out: string,
  measured: { figures: HeldOutFigures; counts: Float64Array; log: Metrics[] },
): Promise<void> {
  const { figures, counts, log } = measured
  const { originals, decoded, shape } = await reconstructions(
    model,
    data.heldOut,
    Math.min(shown, data.heldOut.length),
  )
  const bits = `${figures.bitsPerPixel.toFixed(2)} bits per pixel instead of 24`
  const grid = await reconstructionGrid(originals, decoded, {
    shape,
    title: 'Held-out images: originals above reconstructions',
    subtitle: `PSNR ${figures.psnr.toFixed(1)} dB · ${bits} · ${figures.grid.join('×')} codes out of ${figures.numEmbeddings}`,
  })
  const points: TrainingPoint[] = log.map(curvePoint)
  const curves = await trainingCurves(points, {
    title: `VQ-VAE on ${settings.data === null ? 'coloured digits' : 'a folder of images'}`,
    subtitle: `${data.train.length.toLocaleString('en-US')} training images of ${settings.size}×${settings.size} · ${settings.codes} codes · batches of ${settings.batch}`,
  })
  const usage = await codebookUsage(counts, { title: 'Codebook usage on held-out images' })
  await grid.save(join(out, 'reconstructions.png'))
  await curves.save(join(out, 'training_curves.png'))
  await usage.save(join(out, 'codebook_usage.png'))
}

/** The lines of a metrics.jsonl, of the steps before a resume too. */
export async function readMetrics(path: string): Promise<Metrics[]> {
  const text = await readFile(path, 'utf8')
  return text
    .split('\n')
    .filter(line => line !== '')
    .map(line => JSON.parse(line) as Metrics)
}
