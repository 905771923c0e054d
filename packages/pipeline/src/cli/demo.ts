import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { interruptible } from '@vq/models/train'
import { Command, InvalidArgumentError } from 'commander'
import { type DemoReport, runDemo } from '../demo/run.js'
import type { DemoOptions } from '../demo/settings.js'
import { exitCode, explain } from './exit.js'

export function demoCommand(setExitCode: (code: number) => void): Command {
  return new Command('demo')
    .description('train a VQ-VAE on coloured digits or on a folder of images, and write their semantic IDs')
    .option(
      '--data <folder>',
      'a folder of JPEG, PNG or WebP files, nested or not; without it coloured digits',
    )
    .option('--out <folder>', 'where everything is written', 'results')
    .option('--size <pixels>', 'edge of the images (default: 32)', whole)
    .option('--codes <number>', 'size of the codebook (default: 256)', whole)
    .option('--steps <number>', 'training steps (default: 3000)', whole)
    .option('--batch <images>', 'images in a training step (default: 32)', whole)
    .option('--seed <number>', 'of data, weights and order (default: 0)', whole)
    .option('--resume', 'go on from the newest checkpoint in --out')
    .option('--quick', 'fewer images and steps: a look in under a minute, with worse pictures')
    .action(async (options: DemoOptions) => setExitCode(await demo(options)))
}

async function demo(options: DemoOptions): Promise<number> {
  const interruption = interruptible()
  const say = (line: string): void => {
    process.stdout.write(`${line}\n`)
  }
  try {
    say(summary(await runDemo(options, say, interruption.signal), options.out))
    return 0
  } catch (error) {
    const code = interruption.code()
    if (code === undefined || (error as Error).name !== 'AbortError') {
      process.stderr.write(`${explain(error)}\n`)
      return exitCode.failure
    }
    process.stderr.write(`${await howToResume(options.out)}\n`)
    return code
  } finally {
    interruption.stop()
  }
}

async function howToResume(out: string): Promise<string> {
  const saved = await stat(join(out, 'model', 'checkpoints')).catch(() => undefined)
  if (saved === undefined) return 'Stopped before training began; nothing to resume.'
  const command = process.env.npm_lifecycle_event === 'demo' ? 'npm run demo --' : 'npx vq demo'
  const place = out === 'results' ? '' : ` --out ${JSON.stringify(out)}`
  return `Stopped, and saved in ${join(out, 'model', 'checkpoints')}. To go on:\n\n  ${command} --resume${place}\n`
}

function summary(report: DemoReport, out: string): string {
  const { heldOut, imagesPerSecond, seconds } = report
  const { psnr, bitsPerPixel, bitsPerPixelEntropy, perplexity, usage, codesUsed, numEmbeddings, grid } =
    heldOut
  const count = (n: number): string => Math.round(n).toLocaleString('en-US')
  const minutes = `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, '0')} minutes`
  const ids = count(report.trainingImages + heldOut.images)
  const rows: [string, string][] = [
    ['PSNR', `${psnr.toFixed(2)} dB on ${count(heldOut.images)} held-out images`],
    [
      'bits per pixel',
      `${bitsPerPixel.toFixed(3)} instead of 24; ${bitsPerPixelEntropy.toFixed(3)} after entropy coding`,
    ],
    ['perplexity', `${perplexity.toFixed(1)} of ${numEmbeddings} codes`],
    ['codes used', `${(100 * usage).toFixed(1)} % (${codesUsed} of ${numEmbeddings})`],
    [
      'images per second',
      `${count(imagesPerSecond.training)} in training, ${count(imagesPerSecond.encoding)} encoded`,
    ],
    ['time', minutes],
    ...(report.skippedFiles > 0 ? [['files skipped', count(report.skippedFiles)] as [string, string]] : []),
  ]
  const files: [string, string][] = [
    ['model/', 'the trained model: config.json, model.safetensors, metrics.jsonl'],
    ['ids.parquet', `${ids} semantic IDs of ${grid.join('×')} codes`],
    ['ids.jsonl', 'the same as JSON Lines'],
    ['reconstructions.png', 'held-out images above what their codes decode to'],
    ['training_curves.png', 'losses, held-out PSNR and perplexity'],
    ['codebook_usage.png', 'how often each code occurs'],
    ['metrics.json', 'these figures'],
  ]
  return `\n${table(rows, '')}\n\n${table(files, `${join(out, '/')}`)}`
}

function table(rows: [string, string][], prefix: string): string {
  const width = Math.max(...rows.map(([name]) => name.length))
  return rows.map(([name, value]) => `  ${prefix}${name.padEnd(width)}  ${value}`).join('\n')
}

function whole(text: string): number {
  if (!/^\d+$/.test(text)) throw new InvalidArgumentError('A whole number is needed.')
  return Number(text)
}
