import { mkdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { VqConfigError } from '@vq/core'
import { writeFileAtomic } from '@vq/core/io'
import { Command } from 'commander'
import { analyzeIds } from '../analysis/index.js'
import { PipelineConfig } from '../config/index.js'
import { encoderOf, methodOf } from '../config/names.js'
import { templates } from '../config/templates.js'
import { joined } from '../joined.js'
import { VQPipeline } from '../pipeline/index.js'
import {
  type ComparedRun,
  comparisonFigure,
  comparisonMarkdown,
  type Metric,
  writeComparison,
} from '../report/index.js'
import { addDataOptions, type DataOptions, openFor } from './data-options.js'
import { type CommandResult, type Console, count, minutes, run, shellWords } from './run.js'
import { decodedVectors } from './sampled-vectors.js'
import { changed, expectSame, train } from './train.js'

interface CompareOptions extends DataOptions {
  config: string
  encoders?: string[]
  methods?: string[]
  sizes?: string[]
  set?: string[]
  out: string
  resume?: boolean
  json?: boolean
}

export function compareCommand(setExitCode: (code: number) => void): Command {
  const command = new Command('compare')
    .description(
      'train several encoders or methods on the same data: one table, and a plot of size against quality',
    )
    .requiredOption('--config <file|template>', 'what all of them share')
    .option('--encoders <names...>', 'encoder types (default: that of the configuration)')
    .option('--methods <names...>', 'quantization methods (default: that of the configuration)')
    .option('--sizes <numbers...>', 'values of numEmbeddings (default: that of the configuration)')
    .option('--set <key=value...>', 'changes the configuration of all of them')
    .requiredOption(
      '--out <folder>',
      'where comparison.html, comparison.md, comparison.json, plots and the models go',
    )
    .option('--resume', 'go on with what is not there yet')
    .option('--json', 'print the table as JSON')
  return addDataOptions(command)
    .addHelpText(
      'after',
      `
Example:
  vq compare --config image_cnn_kmeans --methods rq_kmeans rq_vae fsq pq --sizes 64 256 --data ./photos --out runs/compare`,
    )
    .action(async (options: CompareOptions) =>
      setExitCode(
        await run(
          options,
          console => compare(options, console),
          () =>
            `Stopped. To go on, repeat the command with --resume (${shellWords([options.out])} keeps what is done).`,
        ),
      ),
    )
}

const qualities: readonly [Metric, ...Metric[]] = [
  { name: 'error', title: 'relative error of embeddings', better: 'lower' },
  { name: 'neighbours', title: '10 nearest neighbours kept (Jaccard)', better: 'higher' },
  { name: 'reconstruction', title: 'held-out reconstruction loss', better: 'lower' },
  { name: 'unique', title: 'share of unique IDs', better: 'higher' },
  { name: 'usage', title: 'share of codes used', better: 'higher' },
  { name: 'nmi', title: 'NMI of first codes and labels', better: 'higher' },
  { name: 'knn', title: '10-NN accuracy from codes', better: 'higher' },
  { name: 'seconds', title: 'seconds of training', better: 'lower' },
]

async function compare(options: CompareOptions, console: Console): Promise<CommandResult> {
  const started = performance.now()
  const { out, resume = false } = options
  const isFile = (await stat(options.config).catch(() => undefined))?.isFile() ?? false
  const base = isFile
    ? await PipelineConfig.load(options.config)
    : PipelineConfig.parse(
        templates[options.config]?.config ?? ({ config: options.config } as never),
        `the template '${options.config}'`,
      )
  const variants = variantsOf(options, base)
  await mkdir(out, { recursive: true })
  const runs: ComparedRun[] = []
  for (const { name, series, set } of variants) {
    const folder = join(out, name)
    const kept = join(folder, 'comparison.json')
    const before = resume ? await readFile(kept, 'utf8').catch(() => undefined) : undefined
    if (before !== undefined) {
      await expectSame(folder, PipelineConfig.parse(changed(changed(base.values, options.set ?? []), set)))
      runs.push(JSON.parse(before) as ComparedRun)
      continue
    }
    console.say(`\n${name}`)
    const begun =
      resume && (await stat(join(folder, 'config.input.json')).catch(() => undefined)) !== undefined
    const { json } = await train(
      {
        ...options,
        config: options.config,
        set: [...(options.set ?? []), ...set],
        out: folder,
        resume: begun,
        overwrite: !begun,
      },
      console,
    )
    const measured = await measure(options, folder, console)
    const figures = { ...measured.metrics, seconds: json.seconds as number }
    const result = { name, series, bits: measured.bits, metrics: figures }
    await writeFileAtomic(kept, `${JSON.stringify(result)}\n`)
    runs.push(result)
  }
  const measured = qualities.filter(({ name }) => runs.some(r => Number.isFinite(r.metrics[name]))) as [
    Metric,
    ...Metric[],
  ]
  const title = `${count(runs.length)} pipelines on ${options.data.join(', ')}`
  await writeComparison(join(out, 'comparison.html'), { title, runs, metrics: measured })
  const text = comparisonMarkdown(runs, measured)
  await writeFileAtomic(join(out, 'comparison.md'), text)
  await writeFileAtomic(join(out, 'comparison.json'), `${JSON.stringify(runs, null, 2)}\n`)
  await (await comparisonFigure(runs, measured[0])).save(join(out, 'comparison.png'))
  const seconds = (performance.now() - started) / 1000
  return {
    json: { out, runs, seconds },
    text: `\n${text}\n  ${join(out, 'comparison.html')} has the plots; ${minutes(seconds)}\n`,
  }
}

function variantsOf(
  { encoders, methods, sizes }: CompareOptions,
  base: PipelineConfig,
): { name: string; series: string; set: string[] }[] {
  const { values } = base
  if (encoders !== undefined && values.modality === 'image_text')
    throw new VqConfigError({
      operation: 'vq compare --encoders',
      expected: 'a configuration with one encoder',
      received: 'image_text',
      remedy: 'Leave --encoders out.',
    })
  const own = (value: string): boolean => value === values.encoderType
  const list: { name: string; series: string; set: string[] }[] = []
  for (const encoder of encoders?.map(encoderOf) ?? [undefined])
    for (const method of methods?.map(methodOf) ?? [undefined])
      for (const size of sizes ?? [undefined]) {
        const set = [
          // Options of another encoder or method mean nothing to this one.
          ...(encoder === undefined
            ? []
            : [`encoderType=${JSON.stringify(encoder)}`, ...(own(encoder) ? [] : ['encoderConfig={}'])]),
          ...(method === undefined
            ? []
            : [`vqMethod=${JSON.stringify(method)}`, ...(method === values.vqMethod ? [] : ['vqConfig={}'])]),
          ...(size === undefined ? [] : [`numEmbeddings=${size}`]),
        ]
        const series = [encoder, method].filter(part => part !== undefined).join('-') || values.vqMethod
        list.push({
          name: [series, size]
            .filter(part => part !== undefined)
            .join('-')
            .replace(/[^\w.-]/g, '_'),
          series,
          set,
        })
        // Wrong names are refused before anything is trained.
        PipelineConfig.parse(changed(values, set), 'vq compare')
      }
  return list
}

async function measure(
  options: CompareOptions,
  folder: string,
  console: Console,
): Promise<{ bits: number; metrics: Record<string, number> }> {
  const pipeline = await VQPipeline.loadPipeline(folder)
  const source = await openFor(pipeline, options, { signal: console.signal })
  try {
    const { codebookSizes, positions } = pipeline.info
    const [ids, parts, vectors]: [string[], Int32Array[], Float32Array[]] = [[], [], []]
    const kept: number[] = []
    const perItem = positions.length === 0
    let places = 0
    for await (const block of pipeline.encodeSource(source, { signal: console.signal })) {
      for (const i of block.indices) {
        ids.push(source.ids[i] as string)
        kept.push(i)
      }
      parts.push(block.codes)
      if (block.indices.length > 0) places = block.codes.length / block.indices.length / codebookSizes.length
    }
    if (perItem)
      for await (const { values } of pipeline.embedSource(source, { signal: console.signal }))
        vectors.push(values)
    const codes = joined(parts, Int32Array)
    const labels = source.labels && kept.map(i => (source.labels as readonly string[])[i] as string)
    const classes = labels !== undefined && new Set(labels).size > 1 ? labels : undefined
    const embeddings = perItem ? { values: joined(vectors, Float32Array), dim: pipeline.dim } : undefined
    const decoded = perItem
      ? { values: await decodedVectors(pipeline, codes, codebookSizes.length), dim: pipeline.dim }
      : undefined
    const analysis = analyzeIds(
      { ids, codes, positions: places, levels: codebookSizes.length, codebookSizes },
      { ...(classes && { labels: classes }), ...(embeddings && { embeddings }), ...(decoded && { decoded }) },
    )
    const training = JSON.parse(await readFile(join(folder, 'training.json'), 'utf8')) as {
      lastMetrics?: Record<string, number>
    }
    const { fidelity, labels: agreement } = analysis
    const first = agreement?.levels[0]
    const metrics: Record<string, number | undefined> = {
      error: fidelity && 1 - fidelity.explained,
      neighbours: fidelity?.neighbors.jaccard,
      reconstruction: training.lastMetrics?.reconstructionLoss,
      unique: analysis.ids.unique / analysis.items,
      usage: analysis.levels.reduce((sum, l) => sum + l.usageRatio, 0) / analysis.levels.length,
      nmi: first?.nmi,
      knn: agreement?.knn?.decoded,
    }
    return {
      bits: analysis.bits.nominal,
      metrics: Object.fromEntries(Object.entries(metrics).filter(([, v]) => v !== undefined)) as Record<
        string,
        number
      >,
    }
  } finally {
    await source.close()
    pipeline.dispose()
  }
}
