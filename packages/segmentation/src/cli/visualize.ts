import { join } from 'node:path'
import { VqConfigError } from '@vq/core'
import { writeFileAtomic } from '@vq/core/io'
import { Command, Option } from 'commander'
import { modelNames } from '../backbones/create.js'
import { type Split, splits } from '../data/module.js'
import { loadSegmentation, type SegmentationConfig } from '../model/checkpoint.js'
import { resultsFigure } from '../visualize/figure.js'
import { compareOnImages } from '../visualize/per-image.js'
import { addDataFlags, type DataFlags, whole } from './flags.js'
import { openData } from './open-data.js'
import { say } from './train.js'

interface VisualizeFlags extends DataFlags {
  vqCheckpoint: string
  baselineCheckpoint: string
  model?: string
  datasetSplit: Split
  nBest: number
  nWorst: number
  outputDir: string
}

export function visualizeCommand(signal: AbortSignal): Command {
  const command = new Command('visualize')
    .description('draw the best and the worst results of a squeezed network beside a baseline')
    .requiredOption('--vq-checkpoint <path>', 'what squeeze wrote: a file or its folder')
    .requiredOption('--baseline-checkpoint <path>', 'what baseline wrote: a file or its folder')
    .addOption(
      new Option('--model <name>', 'backbone that both must have (default: that of the checkpoints)').choices(
        [...modelNames],
      ),
    )
    .addOption(new Option('--dataset-split <name>', 'images').choices([...splits]).default('test'))
    .option('--n-best <n>', 'number of best results', whole(0, 100), 5)
    .option('--n-worst <n>', 'number of worst results', whole(0, 100), 5)
    .option('--output-dir <folder>', 'where the figures go', './visualizations')
  return addDataFlags(command)
    .addHelpText(
      'after',
      '\nThe border and the size of the images are those of the checkpoints.\nExample:\n  vq-segment visualize --vq-checkpoint outputs/vq_squeeze --baseline-checkpoint outputs/segmentation_baseline',
    )
    .action((flags: VisualizeFlags) => visualize(flags, signal))
}

async function visualize(flags: VisualizeFlags, signal: AbortSignal): Promise<void> {
  const { vqCheckpoint, baselineCheckpoint, datasetSplit: split, nBest, nWorst, outputDir, batchSize } = flags
  const squeezed = await loadSegmentation(vqCheckpoint)
  const baseline = await loadSegmentation(baselineCheckpoint)
  try {
    const { config } = squeezed
    expectSame(config, baseline.config, flags.model)
    const border = (config.border ?? flags.border) as DataFlags['border']
    const data = await openData({ ...flags, border, imageSize: config.imageSize }, say)
    if (`${data.classes}` !== `${config.classes}`)
      throw new VqConfigError({
        operation: 'vq-segment visualize',
        expected: `data with the classes ${config.classes.join(', ')}`,
        received: data.classes.join(', '),
        remedy: 'Pass the --dataset that the networks were trained on.',
      })
    const images = data.dataset(split)
    const models = { baseline: baseline.model, squeezed: squeezed.model }
    const compared = await compareOnImages(models, images, {
      classes: config.classes.length,
      ...{ batchSize, signal },
    })
    if (compared.images.length === 0)
      throw new VqConfigError({
        operation: 'vq-segment visualize',
        expected: 'images with pixels that count',
        received: `${images.length} without`,
        remedy: 'Check the masks, or train with another --border.',
      })
    const ranked = [...compared.images].sort((a, b) => b.squeezed - a.squeezed || a.index - b.index)
    const folder = join(outputDir, config.backbone.model)
    for (const [kind, chosen] of [
      ['best', ranked.slice(0, nBest)],
      ['worst', ranked.slice(Math.max(0, ranked.length - nWorst)).reverse()],
    ] as const) {
      if (chosen.length === 0) continue
      const title = `The ${chosen.length} ${kind} results of ${ranked.length} images (${split})`
      const figure = await resultsFigure(chosen, images, models, { title, classes: config.classes })
      const file = join(folder, `${kind}_results_${split}.png`)
      await figure.save(file)
      say(file)
    }
    const scores = { squeezed: compared.squeezed.scores, baseline: compared.baseline.scores }
    await writeFileAtomic(
      join(folder, `results_${split}.json`),
      `${JSON.stringify({ classes: config.classes, ...scores, images: ranked }, null, 2)}\n`,
    )
    const mean = (pick: 'baseline' | 'squeezed'): string =>
      (ranked.reduce((sum, r) => sum + r[pick], 0) / ranked.length).toFixed(3)
    say(`IoU of an image, mean of ${ranked.length}: VQ ${mean('squeezed')}, baseline ${mean('baseline')}`)
    for (const [c, name] of config.classes.entries())
      say(
        `  ${name}: IoU over all pixels VQ ${scores.squeezed.iou[c]!.toFixed(3)}, baseline ${scores.baseline.iou[c]!.toFixed(3)}`,
      )
  } finally {
    squeezed.model.dispose()
    baseline.model.dispose()
  }
}

function expectSame(a: SegmentationConfig, b: SegmentationConfig, model: string | undefined): void {
  const wrong = (expected: string, received: string): VqConfigError =>
    new VqConfigError({
      operation: 'vq-segment visualize',
      expected,
      received,
      remedy: 'Pass checkpoints of networks for the same data.',
    })
  if (model !== undefined && model !== a.backbone.model)
    throw wrong(`a checkpoint of --model ${model}`, `one of ${a.backbone.model}`)
  for (const [what, of] of [
    ['backbone', (c: SegmentationConfig) => c.backbone.model],
    ['classes', (c: SegmentationConfig) => c.classes.join(', ')],
    ['image size', (c: SegmentationConfig) => String(c.imageSize)],
    ['border', (c: SegmentationConfig) => c.border ?? 'none'],
  ] as const)
    if (of(a) !== of(b)) throw wrong(`a baseline with the ${what} ${of(a)}`, of(b))
}
