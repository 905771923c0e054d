import { join } from 'node:path'
import { VqConfigError } from '@vq/core'
import { writeFileAtomic } from '@vq/core/io'
import { sensitivity } from '@vq/models/plot'
import { listCheckpoints } from '@vq/models/train'
import { Command, Option } from 'commander'
import { type QuantizerType, quantizerTypes } from '../quantizers/create.js'
import { isFrozen, quantizerSettings } from './build.js'
import { addQuantizerFlags, addTrainFlags, type QuantizerFlags, type TrainFlags } from './flags.js'
import { openData } from './open-data.js'
import { comparisonTable } from './report.js'
import { runFolder } from './run-folder.js'
import { say } from './train.js'
import { type RunResult, trainRun } from './train-run.js'

interface CompareFlags extends TrainFlags, Omit<QuantizerFlags, 'quantizerType'> {
  quantizerTypes: readonly QuantizerType[]
}

export function compareCommand(signal: AbortSignal): Command {
  const command = new Command('compare')
    .description('train all quantizers on the same features: one table and a plot of rate against quality')
    .addOption(
      new Option('--quantizer-types <names...>', 'which')
        .choices([...quantizerTypes])
        .default([...quantizerTypes]),
    )
  return addTrainFlags(addQuantizerFlags(command), 'comparison')
    .addHelpText(
      'after',
      '\nExample:\n  vq-segment compare --model small --weights outputs/backbone --image-size 128 --codebook-size 256 --epochs 20',
    )
    .action(async (flags: CompareFlags) => {
      await compare(flags, signal)
    })
}

/** Trains every quantizer on the features of one frozen backbone; writes comparison.md, comparison.json, rate_quality.png. */
export async function compare(
  flags: CompareFlags,
  signal: AbortSignal,
): Promise<{ name: QuantizerType; result: RunResult }[]> {
  const { quantizerTypes: names, outputDir, experimentName, levels, ...rest } = flags
  if (!isFrozen(flags))
    throw new VqConfigError({
      operation: 'vq-segment compare',
      expected: '--weights of a backbone that stays as it is',
      received: flags.trainBackbone ? '--train-backbone' : 'no --weights',
      remedy: 'Train one first: vq-segment baseline --model small --experiment-name backbone.',
    })
  const out = runFolder(flags)
  const data = await openData(flags, say)
  const runs: { name: QuantizerType; result: RunResult }[] = []
  for (const name of new Set(names)) {
    say(`\n${name}`)
    const own = { ...flags, quantizerType: name } as TrainFlags & QuantizerFlags
    if (name !== 'fsq') delete own.levels
    const settings = quantizerSettings(own, say)
    const begun = (await listCheckpoints(join(out, name, 'checkpoints'))).length > 0
    const result = await trainRun(
      {
        ...rest,
        ...{ outputDir: out, experimentName: name as string },
        cacheDir: flags.cacheDir ?? join(outputDir, 'cache'),
        taskName: `${flags.taskName ?? experimentName} ${name}`,
        resume: (flags.resume ?? false) && begun,
      },
      { quantizer: { ...settings, vqLossWeight: flags.vqLossWeight }, say, data, signal },
    )
    runs.push({ name, result })
  }
  const table = comparisonTable(runs)
  await writeFileAtomic(join(out, 'comparison.md'), table)
  await writeFileAtomic(join(out, 'comparison.json'), `${JSON.stringify(runs, null, 2)}\n`)
  const figure = await sensitivity(
    runs.map(({ name, result }) => ({
      // Features that are not quantized are float32 numbers; the axis names every value, so these are short.
      value: Math.round(10 * (result.evaluation.codes?.bits.nominal ?? 32 * result.featureDim)) / 10,
      result: result.evaluation.meanIou,
      series: name,
    })),
    {
      parameter: 'bits per feature vector',
      result: 'mean IoU',
      title: 'Rate against quality',
      subtitle: `${data.dataset('val').length} held-out images; none is float32`,
    },
  )
  await figure.save(join(out, 'rate_quality.png'))
  say(`\n${table}\n${out}: comparison.md, comparison.json, rate_quality.png`)
  return runs
}
