import { type Command, InvalidArgumentError, Option } from 'commander'
import { type ModelName, modelNames } from '../backbones/create.js'
import { type LossType, lossTypes } from '../losses/index.js'
import type { Normalization } from '../model/normalization.js'
import type { QuantizerType } from '../quantizers/create.js'

export interface DataFlags {
  dataset: 'oxford_pet' | 'folder'
  dataPath: string
  download?: boolean
  classes?: string
  border: 'class' | 'ignore' | 'pet' | 'background'
  damaged: 'throw' | 'skip'
  subsetSize?: number
  batchSize: number
}

export interface TrainFlags extends DataFlags {
  model: ModelName
  weights?: string
  trainBackbone?: boolean
  headWidth?: number
  normalization?: Normalization
  imageSize: number
  epochs: number
  lr: number
  weightDecay: number
  schedule: 'constant' | 'cosine'
  warmupSteps: number
  averageDecay?: number
  lossType: LossType
  copies: number
  seed: number
  outputDir: string
  experimentName: string
  cacheDir?: string
  useClearml?: boolean
  projectName: string
  taskName?: string
  resume?: boolean
  overwrite?: boolean
}

export interface QuantizerFlags {
  quantizerType: QuantizerType
  codebookSize: number
  bottleneckDim: number
  numQuantizers: number
  levels?: readonly number[]
  decay: number
  commitmentWeight: number
  entropyLossWeight: number
  diversityGamma: number
  spherical?: boolean
  vqLossWeight: number
}

const number =
  (least: number, most: number, whole: boolean) =>
  (text: string): number => {
    const value = text.trim() === '' ? Number.NaN : Number(text)
    if (!(value >= least && value <= most) || (whole && !Number.isInteger(value)))
      throw new InvalidArgumentError(
        `A ${whole ? 'whole ' : ''}number from ${least} ${most < 1e9 ? `to ${most}` : 'on'} is needed.`,
      )
    return value
  }
export const whole = (least: number, most = 1e9): ((text: string) => number) => number(least, most, true)
export const real = (least: number, most = 1e9): ((text: string) => number) => number(least, most, false)

const levels = (text: string): number[] => text.split(',').map(whole(2, 4096))
const choice = (flags: string, text: string, choices: readonly string[], fallback: string): Option =>
  new Option(flags, text).choices([...choices]).default(fallback)

export function addDataFlags(command: Command): Command {
  return command
    .addOption(choice('--dataset <name>', 'kind of the data', ['oxford_pet', 'folder'], 'oxford_pet'))
    .option('--data-path <folder>', 'where the data are', './data')
    .option('--download', "fetch Oxford-IIIT Pet's archives where they are missing")
    .option('--classes <names>', "of --dataset folder: the classes' names with commas (default: classes.txt)")
    .addOption(
      choice(
        '--border <what>',
        "what the trimaps' border counts as",
        ['class', 'ignore', 'pet', 'background'],
        'class',
      ),
    )
    .addOption(choice('--damaged <what>', 'files that cannot be used', ['throw', 'skip'], 'throw'))
    .option('--subset-size <n>', 'only so many images, evenly spread', whole(5))
    .option('--batch-size <n>', 'images at once', whole(1), 4)
}

/** `name`: of the experiment, where none is given. */
export function addTrainFlags(command: Command, name: string): Command {
  return addDataFlags(command)
    .addOption(choice('--model <name>', 'backbone', modelNames, 'vit'))
    .option(
      '--weights <file|name>',
      'pretrained weights: a file of torchvision, a folder, a name on the hub, or a checkpoint of vq-segment; without it everything is trained from scratch',
    )
    .option('--train-backbone', 'train the backbone too, not the head and the quantizer alone')
    .option('--head-width <n>', 'channels inside the head (default: 256; small: 64)', whole(1))
    .addOption(
      new Option(
        '--normalization <name>',
        'of the images (default: imagenet; with a checkpoint of vq-segment: its own)',
      ).choices(['imagenet', 'half', 'none']),
    )
    .option('--image-size <pixels>', 'edge of the images', whole(8, 4096), 224)
    .option('--epochs <n>', 'training epochs', whole(1), 10)
    .option('--lr <rate>', 'learning rate', real(0), 1e-4)
    .option('--weight-decay <w>', 'of AdamW', real(0), 0.01)
    .addOption(choice('--schedule <name>', 'of the learning rate', ['constant', 'cosine'], 'constant'))
    .option('--warmup-steps <n>', 'over which the rate rises', whole(0), 0)
    .option('--average-decay <d>', 'train on, but keep a moving average of the weights', real(0, 0.999999))
    .addOption(choice('--loss-type <name>', 'segmentation loss', lossTypes, 'ce'))
    .option(
      '--copies <n>',
      'frozen backbone: versions of each image (windows, mirrored, recoloured) whose features are kept',
      whole(1),
      1,
    )
    .option('--seed <n>', 'of weights, order and augmentation', whole(0), 0)
    .option('--output-dir <folder>', 'where runs go', './outputs')
    .option('--experiment-name <name>', 'folder of this run', name)
    .option('--cache-dir <folder>', 'files of features (default: cache in --output-dir)')
    .option('--use-clearml', 'log to the ClearML server of CLEARML_API_HOST')
    .option('--project-name <name>', 'of ClearML', 'vq-segmentation')
    .option('--task-name <name>', 'of ClearML (default: the name of the experiment)')
    .option('--resume', 'go on where a stopped run was')
    .option('--overwrite', 'throw away what an earlier run left')
}

export function addQuantizerFlags(command: Command): Command {
  return command
    .option('--codebook-size <n>', 'codes; of RVQ those of each level', whole(2, 2 ** 24), 512)
    .option('--bottleneck-dim <n>', 'length of the codes of VQ and RVQ', whole(1, 2 ** 16), 64)
    .option('--num-quantizers <n>', 'levels of RVQ', whole(1, 1024), 4)
    .option('--levels <l1,l2,…>', 'of FSQ (default: by the table of its paper for --codebook-size)', levels)
    .option('--decay <d>', 'of the moving averages of VQ and RVQ', real(0, 0.999999), 0.99)
    .option('--commitment-weight <w>', 'of VQ and RVQ', real(0), 0.25)
    .option('--entropy-loss-weight <w>', 'of LFQ', real(0), 0.1)
    .option('--diversity-gamma <w>', 'of LFQ', real(0), 0.1)
    .option('--spherical', 'LFQ on the sphere')
    .option('--vq-loss-weight <w>', "weight of the quantizer's loss", real(0), 0.1)
}
