import { rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { closest, VqConfigError } from '@vq/core'
import { writeFileAtomic } from '@vq/core/io'
import { Command } from 'commander'
import { PipelineConfig } from '../config/index.js'
import { templates } from '../config/templates.js'
import type { PipelineInput } from '../config/values.js'
import { keepInput } from '../pipeline/artifact.js'
import { type FitReport, VQPipeline } from '../pipeline/index.js'
import type { Source } from '../sources/index.js'
import { codesText } from './codes-text.js'
import { addDataOptions, type DataOptions, dataWords, openData } from './data-options.js'
import { type CommandResult, type Console, count, minutes, run, shellWords, table } from './run.js'

interface TrainOptions extends DataOptions {
  config?: string
  out: string
  set?: string[]
  resume?: boolean
  overwrite?: boolean
  json?: boolean
}

export function trainCommand(setExitCode: (code: number) => void): Command {
  const command = new Command('train')
    .description('train a pipeline: an encoder and a quantizer, on images, texts, videos or vectors')
    .option(
      '--config <file|template>',
      'a configuration in JSON, or the name of a template (see vq templates)',
    )
    .requiredOption('--out <folder>', 'where the model and everything about its training go')
    .option(
      '--set <key=value...>',
      'changes the configuration, such as --set training.epochs=3 numEmbeddings=256',
    )
    .option('--resume', 'go on where a stopped training was, to the same weights')
    .option('--overwrite', 'throw away what --out holds')
    .option('--json', 'print the result as JSON')
  return addDataOptions(command)
    .addHelpText(
      'after',
      `
Examples:
  vq train --config image_vit_rqvae --data ./photos --out runs/photos
  vq train --config text_lstm_rvq --data news.csv --column title --out runs/news --set training.epochs=3
  vq train --config vector_rqkmeans --data embeddings.npy --out runs/vectors
  vq train --data ./photos --out runs/photos --resume`,
    )
    .action(async (options: TrainOptions) =>
      setExitCode(
        await run(
          options,
          console => train(options, console),
          () => resumeLine(options),
        ),
      ),
    )
}

function resumeLine(options: TrainOptions): string {
  const { out } = options
  return `Stopped, and saved. To go on:\n\n  npx vq train ${dataWords(options)} --out ${shellWords([out])} --resume\n`
}

/** Trains as the options say; `compare` does it several times. */
export async function train(options: TrainOptions, console: Console): Promise<CommandResult> {
  const { out, resume = false } = options
  const started = performance.now()
  const config = await settledConfig(options)
  if (resume) await expectSame(out, config)
  await expectRoom(options)
  const [tower] = config.towers
  if (tower === undefined) throw new Error('a configuration without towers')
  const more = { signal: console.signal, onSkip: console.skipped }
  // Of pretrained models the size is known once they are there.
  const early = tower.shape === undefined && tower.modality !== 'text' ? undefined : tower.shape
  let source: Source | undefined
  let pipeline: VQPipeline
  if (tower.modality === 'vector') {
    source = await openData(options, { modality: 'vector', ...(early && { shape: early }) }, more)
    pipeline = await VQPipeline.create(
      PipelineConfig.parse({ ...config.values, inputDim: [...source.shape] }),
    )
  } else pipeline = await VQPipeline.create(config)
  try {
    source ??= await openData(options, { modality: tower.modality, shape: pipeline.itemShape }, more)
    if (!resume) {
      await makeRoom(out)
      await keepInput(out, pipeline.config)
    }
    console.say(`${count(source.length)} ${tower.modality}s in ${options.data.join(', ')}`)
    const report = await pipeline.fit(source, {
      out,
      resume,
      signal: console.signal,
      say: console.say,
      progress: !console.json,
    })
    await pipeline.savePipeline(out)
    await rm(join(out, 'kmeans.safetensors'), { force: true })
    const { levels, json } = summaryOf(pipeline, report, (performance.now() - started) / 1000)
    await writeFileAtomic(
      join(out, 'training.json'),
      `${JSON.stringify({ ...json, skippedItems: console.skippedItems }, null, 2)}\n`,
    )
    return { json: { out, ...json }, text: textOf(options, levels, report) }
  } finally {
    await source?.close()
    pipeline.dispose()
  }
}

/** Throws VqConfigError where the run in a folder began with another configuration, naming what differs. */
export async function expectSame(out: string, { values }: PipelineConfig): Promise<void> {
  const kept = join(out, 'config.input.json')
  if ((await stat(kept).catch(() => undefined)) === undefined) return
  const before = flat((await PipelineConfig.load(kept)).values)
  const now = flat(values)
  // The length of vectors is the data's.
  if (values.modality === 'vector' && values.inputDim === undefined) before.delete('inputDim')
  const changes = [...new Set([...before.keys(), ...now.keys()])].filter(
    key => before.get(key) !== now.get(key),
  )
  if (changes.length === 0) return
  const word = (text: string | undefined): string => text ?? 'nothing'
  throw new VqConfigError({
    operation: '--resume',
    expected: `the configuration that ${out} began with`,
    received: changes
      .map(key => `${key} ${word(now.get(key))} instead of ${word(before.get(key))}`)
      .join('; '),
    remedy: 'Go on without it, or begin in another folder.',
  })
}

// Values by their paths, as JSON.
function flat(value: unknown, path = ''): Map<string, string> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return new Map(value === undefined ? [] : [[path, JSON.stringify(value)]])
  const inner = Object.entries(value).flatMap(([key, part]) => [
    ...flat(part, path === '' ? key : `${path}.${key}`),
  ])
  return new Map(inner)
}

// Of the run to go on with, or of a file or template with what --set changes.
async function settledConfig({ config, out, set = [], resume }: TrainOptions): Promise<PipelineConfig> {
  if (resume && config === undefined && set.length === 0) {
    const kept = join(out, 'config.input.json')
    if ((await stat(kept).catch(() => undefined)) === undefined)
      throw new VqConfigError({
        operation: 'vq train --resume',
        expected: `${kept}, which a training writes when it begins`,
        received: 'nothing there',
        remedy: 'Start without --resume, or pass the --out of the run to go on from.',
      })
    return await PipelineConfig.load(kept)
  }
  if (config === undefined)
    throw new VqConfigError({
      operation: 'vq train',
      expected: `--config with a file, or a template among ${Object.keys(templates).join(', ')}`,
      received: 'none',
      remedy: 'For a first look: --config image_cnn_kmeans, text_lstm_rvq or vector_rqkmeans.',
    })
  const isFile = (await stat(config).catch(() => undefined))?.isFile() ?? false
  const named = templates[config]?.config
  if (!isFile && named === undefined)
    throw new VqConfigError({
      operation: 'vq train',
      expected: `--config to be a file, or a template among ${Object.keys(templates).join(', ')}`,
      received: config,
      remedy: `Did you mean '${closest(config, Object.keys(templates))}'? Paths are relative to where the command runs.`,
    })
  const read = isFile ? await PipelineConfig.load(config) : PipelineConfig.parse(named as PipelineInput)
  return set.length === 0 ? read : PipelineConfig.parse(changed(read.values, set), '--set')
}

/** A configuration with `key.key=value` set; values are JSON where they can be, else text. */
export function changed(values: object, set: readonly string[]): Record<string, unknown> {
  const result = structuredClone(values) as Record<string, unknown>
  for (const change of set) {
    const at = change.indexOf('=')
    if (at < 1)
      throw new VqConfigError({
        operation: '--set',
        expected: 'key=value',
        received: change,
        remedy: 'For example --set training.epochs=3 encoderConfig.hiddenDims=[32,64].',
      })
    const path = change.slice(0, at).split('.')
    const text = change.slice(at + 1)
    let place = result
    for (const key of path.slice(0, -1)) {
      const inner = Object.hasOwn(place, key) ? place[key] : undefined
      place[key] = typeof inner === 'object' && inner !== null ? inner : {}
      place = place[key] as Record<string, unknown>
    }
    const key = path.at(-1) as string
    Object.defineProperty(place, key, {
      value: parsed(text),
      writable: true,
      enumerable: true,
      configurable: true,
    })
    // They exclude each other: the last word counts.
    if (path[0] === 'training' && key === 'steps') delete place.epochs
    if (path[0] === 'training' && key === 'epochs') delete place.steps
  }
  return result
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

const learned = ['model.safetensors', 'training', 'quantizer-training', 'kmeans.safetensors']

// A training that failed before its first step has left nothing that would be lost.
async function expectRoom({ out, resume, overwrite }: TrainOptions): Promise<void> {
  if (resume || overwrite) return
  for (const name of learned)
    if ((await stat(join(out, name)).catch(() => undefined)) !== undefined)
      throw new VqConfigError({
        operation: 'vq train',
        expected: `--out to be a folder without a model`,
        received: out,
        remedy: 'Pass --resume to go on with what is there, --overwrite to throw it away, or another folder.',
      })
}

// Only once the data is open: a wrong path must not cost the model that is there.
async function makeRoom(out: string): Promise<void> {
  for (const name of [...learned, 'config.input.json'])
    await rm(join(out, name), { recursive: true, force: true })
}

function summaryOf(
  pipeline: VQPipeline,
  report: FitReport,
  seconds: number,
): { levels: string; json: Record<string, unknown> } {
  const { codebookSizes, codebookHash, encoderHash, positions } = pipeline.info
  const { text: levels, bits } = codesText(pipeline.info)
  const last =
    report.encoder?.metrics.findLast(m => m.split === 'validation') ?? report.encoder?.metrics.at(-1)
  return {
    levels,
    json: {
      items: report.items,
      skipped: report.skipped,
      seconds,
      codebookSizes,
      positions,
      bitsPerItem: bits,
      ...(last && { lastMetrics: last }),
      ...(report.stageErrors && { stageErrors: report.stageErrors }),
      ...(report.recall && { recall: report.recall }),
      codebookHash,
      encoderHash,
    },
  }
}

function recallRows({ recall }: FitReport): [string, string][] {
  if (recall === undefined) return []
  const rows = (name: string, list: typeof recall.codes): [string, string][] =>
    list.map(({ k, aToB, bToA, chance }) => [
      `recall@${k} by ${name}`,
      `picture to text ${aToB.toFixed(3)}, text to picture ${bToA.toFixed(3)}; ${chance.toFixed(3)} by chance`,
    ])
  return [
    ['held-out pairs', count(recall.pairs)],
    ...rows('embeddings', recall.embeddings),
    ...rows('codes', recall.codes),
  ]
}

function textOf(options: TrainOptions, levels: string, report: FitReport): string {
  const { out } = options
  const last = report.encoder?.metrics.findLast(m => m.split === 'validation')
  const rows: [string, string][] = [
    ['items', `${count(report.items)}${report.skipped > 0 ? `, ${count(report.skipped)} skipped` : ''}`],
    ['codes of an item', levels],
    ...(last ? [['held-out loss', String(Number(last.loss.toPrecision(4)))] as [string, string]] : []),
    ...(report.stageErrors
      ? [
          ['error after each stage', report.stageErrors.map(e => e.toPrecision(3)).join(', ')] as [
            string,
            string,
          ],
        ]
      : []),
    ...recallRows(report),
    ['time', minutes(report.seconds)],
    ['model', `${out}/ (config.json, model.safetensors)`],
  ]
  return `\n${table(rows)}\n\nNext:\n\n  npx vq encode --model ${shellWords([out])} ${dataWords(options)} --out ids.parquet\n`
}
