import { createRequire } from 'node:module'
import { join } from 'node:path'
import { VqConfigError, VqError } from '@vq/core'
import { writeFileAtomic } from '@vq/core/io'
import { Command, CommanderError, InvalidArgumentError } from 'commander'
import { loadMultimodal, saveMultimodal } from '../artifact.js'
import { drawCurves, drawData, drawSamples } from '../figures.js'
import type { SamplingOptions } from '../generate/sample.js'
import { generateFromImage, generateFromText, generateUnconditional } from '../multimodal.js'
import { trainImageModel, trainPairModel } from '../train/two-stage.js'
import { readConfig } from './config.js'
import { captionsOption, type DataOptions, dataOf, dataOption, imagesOption, type Split } from './data.js'
import { readPixels, savePicture } from './pictures.js'
import { imageStage, pairStage, samplingOf } from './stages.js'

const { version } = createRequire(import.meta.url)('../../package.json') as { version: string }

/** The `vq-igpt` command: `argv` as process.argv; gives the exit code. */
export async function main(argv: readonly string[]): Promise<number> {
  const program = new Command('vq-igpt')
    .description('One transformer over tokens of images and words.')
    .version(version)
    .addCommand(trainCommand())
    .addCommand(sampleCommand())
    .addCommand(dataCommand())
  for (const command of [program, ...program.commands]) command.exitOverride()
  try {
    await program.parseAsync([...argv])
    return 0
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
    const { name, message, exitCode } = error as Error & { exitCode?: number }
    const known = error instanceof VqError && process.env.VQ_DEBUG === undefined
    process.stderr.write(`vq-igpt: ${known ? message : ((error as Error).stack ?? message)}\n`)
    if (name === 'AbortError')
      process.stderr.write('Stopped, and saved. To go on, repeat the command with --resume.\n')
    return exitCode ?? 1
  }
}

interface ConfigOptions extends DataOptions {
  config?: string
  set?: string[]
}

interface TrainOptions extends ConfigOptions {
  out: string
  resume?: boolean
}

function trainCommand(): Command {
  return new Command('train')
    .description('train both stages, and write models, curves and samples')
    .option(
      '--config <file>',
      'JSON with the keys vqvae_dim, vqvae_K, vqvae_D, vqvae_epochs, d_model, n_heads, igpt_epochs, batch_size …',
    )
    .option('--set <key=value...>', 'changes the configuration')
    .option(...dataOption)
    .option(...captionsOption)
    .option(...imagesOption)
    .option('--out <folder>', 'where checkpoints/ and results/ go', '.')
    .option('--resume', 'go on where a stopped training was')
    .addHelpText(
      'after',
      '\nExamples:\n  vq-igpt train --out runs/digits --set vqvae_epochs=5 igpt_epochs=10\n  vq-igpt train --data mnist --out runs/mnist\n  vq-igpt train --data photos --captions captions.csv --set image_size=32\n  vq-igpt train --data colored_mnist_with_text.pkl --images mnist_colored.pkl',
    )
    .action(train)
}

async function train(options: TrainOptions): Promise<void> {
  const { out, resume = false } = options
  const config = await readConfig(options.config, options.set ?? [])
  const { images, pairs } = await dataOf(options, config)
  const { train, test } = pairs
  const say = (line: string): void => {
    process.stdout.write(`${line}\n`)
  }
  say(
    `${train.length.toLocaleString('en-US')} images to train on, ${test.length.toLocaleString('en-US')} held out`,
  )
  const checkpoints = join(out, 'checkpoints')
  // About every five minutes of a small machine.
  const checkpointEvery = 500
  const results = join(out, 'results')
  await drawSets(results, images, pairs)
  say(`The data, as pictures: ${join(results, 'image_data.png')}, ${join(results, 'pair_data.png')}`)
  say('Stage 1: the VQ-VAE that makes image tokens')
  const first = await trainImageModel(images.train, images.test, {
    ...imageStage(config),
    resume,
    checkpointEvery,
    out: join(checkpoints, 'vqvae_training'),
  })
  say('Stage 2: the transformer')
  const second = await trainPairModel(first.model, train, test, {
    ...pairStage(config),
    resume,
    checkpointEvery,
    out: join(checkpoints, 'igpt_training'),
  })
  const sampling = samplingOf(config)
  const all = { ...second, images: first.model, sampling }
  await saveMultimodal(checkpoints, all)
  await drawCurves(join(results, 'training_curves.png'), { 'VQ-VAE': first, iGPT: second })
  await drawSamples(results, all, test, { ...sampling, seed: config.seed })
  const held = second.history.metrics.findLast(m => m.split === 'validation')
  const figures = {
    vqvae: { train: first.trainLosses, test: first.testLosses },
    igpt: { train: second.trainLosses, test: second.testLosses },
    heldOut: {
      loss: held?.loss,
      imageLoss: held?.imageLoss,
      textLoss: held?.textLoss,
      unit: 'nats per token',
    },
  }
  await writeFileAtomic(join(results, 'losses.json'), `${JSON.stringify(figures, null, 2)}\n`)
  say(
    `Held out: ${Number(held?.imageLoss).toFixed(4)} nats per token of images, ${Number(held?.textLoss).toFixed(4)} of texts`,
  )
  say(
    `Models in ${checkpoints}, figures in ${results}.\n\n  vq-igpt sample --model ${checkpoints} --prompt "${test.captions[0]}" --out sample.png`,
  )
}

/** Pictures of what both stages train on. */
async function drawSets(folder: string, images: Split, pairs: Split): Promise<void> {
  await drawData(join(folder, 'image_data.png'), images.train, { title: 'Images to train on' })
  await drawData(join(folder, 'pair_data.png'), pairs.train, { title: 'Pairs to train on' })
}

function dataCommand(): Command {
  return new Command('data')
    .description('draw what train would train on: results/image_data.png and results/pair_data.png')
    .option('--config <file>', 'JSON, as of train')
    .option('--set <key=value...>', 'changes the configuration')
    .option(...dataOption)
    .option(...captionsOption)
    .option(...imagesOption)
    .option('--out <folder>', 'where results/ goes', '.')
    .addHelpText(
      'after',
      '\nExamples:\n  vq-igpt data --data mnist --out runs/mnist\n  vq-igpt data --data colored_mnist_with_text.pkl --images mnist_colored.pkl',
    )
    .action(async (options: ConfigOptions & { out: string }) => {
      const config = await readConfig(options.config, options.set ?? [])
      const { images, pairs } = await dataOf(options, config)
      const folder = join(options.out, 'results')
      await drawSets(folder, images, pairs)
      process.stdout.write(
        `${pairs.train.length.toLocaleString('en-US')} pairs to train on, ${pairs.test.length.toLocaleString('en-US')} held out, figures in ${folder}\n`,
      )
    })
}

interface SampleOptions extends SamplingOptions {
  model: string
  prompt?: string
  image?: string
  unconditional?: boolean
  count?: number
  out: string
}

function sampleCommand(): Command {
  const number = (text: string): number => {
    if (text.trim() === '' || !Number.isFinite(Number(text)))
      throw new InvalidArgumentError('A number is needed.')
    return Number(text)
  }
  return new Command('sample')
    .description('draw what a prompt says, tell what an image shows, or draw pairs')
    .requiredOption('--model <folder>', 'the checkpoints of vq-igpt train')
    .option('--prompt <text>', 'a caption: draws images')
    .option('--image <file>', 'an image: tells what it shows')
    .option('--unconditional', 'pairs that nobody asked for')
    .option('--count <n>', 'how many (default: 8; of an image 1)', number)
    .option('--out <file>', 'a PNG file', 'sample.png')
    .option('--temperature <t>', 'divides the logits; 0 takes the likeliest token', number)
    .option('--top-k <n>', 'among so many of the likeliest tokens', number)
    .option('--top-p <p>', 'among the likeliest tokens with this probability together', number)
    .option('--guidance <w>', 'how much stronger than learned a prompt counts (1: as learned)', number)
    .option('--seed <n>', 'of what is drawn', number)
    .addHelpText(
      'after',
      '\nExamples:\n  vq-igpt sample --model checkpoints --prompt "light red 7 on dark blue"\n  vq-igpt sample --model checkpoints --image digit.png\n  vq-igpt sample --model checkpoints --unconditional --count 24 --seed 1',
    )
    .action(sample)
}

async function sample(options: SampleOptions): Promise<void> {
  const { model: folder, prompt, image, out, count = image === undefined ? 8 : 1, ...rest } = options
  const ways = [prompt, image, options.unconditional].filter(way => way !== undefined)
  if (ways.length !== 1)
    throw new VqConfigError({
      operation: 'vq-igpt sample',
      expected: 'one of --prompt, --image and --unconditional',
      received: `${ways.length}`,
      remedy: 'Pass exactly one.',
    })
  const { temperature, topK, topP, guidance, seed } = rest
  const given = Object.entries({ temperature, topK, topP, guidance, seed }).filter(([, v]) => v !== undefined)
  const sampling = Object.fromEntries(given) as SamplingOptions
  const all = await loadMultimodal(folder)
  const { images, vocabulary } = all
  if (image !== undefined) {
    const edge = images.stride * Math.round(Math.sqrt(vocabulary.places))
    const values = await readPixels(image, edge)
    const shape = [count, edge, edge, 3]
    const copies = new Float32Array(count * values.length)
    for (let i = 0; i < count; i++) copies.set(values, i * values.length)
    const captions = await generateFromImage(all, { values: copies, shape }, { temperature: 1, ...sampling })
    for (const caption of captions) process.stdout.write(`${caption}\n`)
    return
  }
  if (prompt !== undefined) {
    const made = generateFromText(
      all,
      Array.from({ length: count }, () => prompt),
      sampling,
    )
    await savePicture(out, made, prompt)
  } else {
    const { captions, ...made } = generateUnconditional(all, count, sampling)
    await savePicture(out, made, 'Pairs that nobody asked for', captions)
  }
  process.stdout.write(`${out}\n`)
}
