import { VqConfigError } from '@vq/core'
import { Command, Option } from 'commander'
import { type QuantizerType, quantizerTypes } from '../quantizers/create.js'
import { quantizerSettings } from './build.js'
import { addQuantizerFlags, addTrainFlags, type QuantizerFlags, type TrainFlags } from './flags.js'
import { flagOf } from './run-folder.js'
import { trainRun } from './train-run.js'

export const say = (line: string): void => {
  process.stdout.write(`${line}\n`)
}

// Which quantizers read what flag.
const readers = {
  codebookSize: ['vq', 'fsq', 'lfq', 'rvq'],
  bottleneckDim: ['vq', 'rvq'],
  numQuantizers: ['rvq'],
  levels: ['fsq'],
  decay: ['vq', 'rvq'],
  commitmentWeight: ['vq', 'rvq'],
  entropyLossWeight: ['lfq'],
  diversityGamma: ['lfq'],
  spherical: ['lfq'],
  vqLossWeight: ['vq', 'lfq', 'rvq', 'fsq'],
} satisfies { [name in keyof QuantizerFlags]?: QuantizerType[] } as Record<string, readonly QuantizerType[]>

export function squeezeCommand(signal: AbortSignal): Command {
  const command = new Command('squeeze')
    .description('train a segmentation network whose features pass through a quantizer')
    .addOption(
      new Option('--quantizer-type <name>', 'of the features').choices([...quantizerTypes]).default('vq'),
    )
  return addTrainFlags(addQuantizerFlags(command), 'vq_squeeze')
    .addHelpText(
      'after',
      `
Examples:
  vq-segment squeeze --model deeplab --weights deeplabv3_resnet50_coco.pth --quantizer-type rvq --codebook-size 256
  vq-segment squeeze --model small --weights outputs/backbone --quantizer-type fsq --levels 8,5,5,5 --experiment-name fsq`,
    )
    .action(async (flags: TrainFlags & QuantizerFlags, self: Command) => {
      const { quantizerType: type } = flags
      const given = (Object.keys(readers) as (keyof typeof readers)[]).filter(
        name => self.getOptionValueSource(name) === 'cli',
      )
      const idle = given.find(name => !readers[name].includes(type))
      if (idle !== undefined)
        throw new VqConfigError({
          operation: flagOf(idle),
          expected: `--quantizer-type ${readers[idle].join(' or ')}`,
          received: type,
          remedy: 'Leave it out.',
        })
      const settings = quantizerSettings(flags, say)
      const { vqLossWeight } = flags
      await trainRun(flags, { quantizer: { ...settings, vqLossWeight }, say, signal })
    })
}

export function baselineCommand(signal: AbortSignal): Command {
  return addTrainFlags(
    new Command('baseline').description('train the same network without a quantizer'),
    'segmentation_baseline',
  )
    .addHelpText(
      'after',
      `
Examples:
  vq-segment baseline --model vit --weights vit_b_32.pth --experiment-name vit_baseline
  vq-segment baseline --model small --image-size 128 --epochs 60 --lr 2e-3 --schedule cosine --loss-type combined --experiment-name backbone`,
    )
    .action(async (flags: TrainFlags) => {
      await trainRun(flags, { quantizer: { type: 'none', vqLossWeight: 0 }, say, signal })
    })
}
