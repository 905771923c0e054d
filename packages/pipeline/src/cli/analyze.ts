import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { VqAbortError, VqConfigError, VqFormatError } from '@vq/core'
import { writeFileAtomic } from '@vq/core/io'
import type { MetricsLine } from '@vq/models/plot'
import { Command } from 'commander'
import {
  analysisFigures,
  analyzeIds,
  type CrossModalRecall,
  crossModalRecall,
  type IdTable,
} from '../analysis/index.js'
import { VQPipeline } from '../pipeline/index.js'
import { writeReport } from '../report/index.js'
import { iterateSemanticIds, readSemanticIdInfo, type SemanticIdInfo } from '../semantic-ids/index.js'
import type { Modality, Source } from '../sources/index.js'
import { addDataOptions, type DataOptions, whole } from './data-options.js'
import { openHalf } from './encode.js'
import { previewer } from './previews.js'
import { reconstructed } from './reconstructions.js'
import { type CommandResult, type Console, count, minutes, run, table } from './run.js'
import { ratesOf, sampledVectors } from './sampled-vectors.js'

interface AnalyzeCommandOptions extends Partial<DataOptions> {
  ids: string
  model?: string
  pair?: string
  out: string
  sample?: number
  title?: string
  json?: boolean
}

export function analyzeCommand(setExitCode: (code: number) => void): Command {
  const command = new Command('analyze')
    .description('say what semantic IDs are worth, in one HTML file that needs no network')
    .requiredOption('--ids <file>', 'what vq encode --out wrote')
    .option(
      '--model <folder>',
      'the model that made them: adds codebooks, training curves, and with --data what codes lose',
    )
    .option('--out <file>', 'the report', 'report.html')
    .option('--pair <file>', 'IDs of the other half of pairs, item by item: adds recall between the two')
    .option('--title <text>', 'of the report')
    .option('--sample <n>', 'items among which neighbours are searched (default: 3000)', whole)
    .option('--json', 'print the figures as JSON')
  return addDataOptions(command, false)
    .addHelpText(
      'after',
      `
Examples:
  vq analyze --ids ids.parquet --out report.html
  vq analyze --model runs/photos --ids ids.parquet --data ./photos --out report.html
  vq analyze --model runs/news --ids ids.jsonl --data news.csv --column title --label-column class
  vq analyze --model runs/pairs --ids pictures.parquet --pair texts.parquet --data ./pictures --captions captions.csv`,
    )
    .action(async (options: AnalyzeCommandOptions) =>
      setExitCode(
        await run(
          options,
          console => analyze(options, console),
          () => 'Stopped; no report was written.',
        ),
      ),
    )
}

/** IDs as the analysis takes them; the level that makes them unique says nothing and is left out. */
export async function tableOf(
  file: string,
  pipeline: VQPipeline | undefined,
): Promise<{ table: IdTable; captions: (string | undefined)[] }> {
  const info = await readSemanticIdInfo(file)
  pipeline?.expectSameCodebook(info.metadata, file)
  const sizes = sizesOf(info, pipeline, file)
  const levels = sizes.length
  const last = info.metadata.unique === 'true' ? 1 : 0
  const ids: string[] = []
  const captions: (string | undefined)[] = []
  const rows: Int32Array[] = []
  let most = 0
  for await (const { id, codes, caption } of iterateSemanticIds(file)) {
    const own = last === 1 ? codes.subarray(0, codes.length - 1) : codes
    if (own.length === 0 || own.length % levels !== 0)
      throw new VqFormatError({
        operation: `reading ${file}`,
        expected: `codes of ${levels} levels`,
        received: `${own.length} codes of ${JSON.stringify(id)}`,
        remedy: 'Pass the file as vq encode wrote it.',
      })
    ids.push(id)
    captions.push(caption)
    rows.push(own)
    most = Math.max(most, own.length)
  }
  if (ids.length === 0)
    throw new VqFormatError({
      operation: `reading ${file}`,
      expected: 'at least one item',
      received: 'none',
      remedy: 'Encode some data first.',
    })
  const codes = new Int32Array(ids.length * most).fill(-1)
  for (const [i, row] of rows.entries()) codes.set(row, i * most)
  return { table: { ids, codes, positions: most / levels, levels, codebookSizes: sizes }, captions }
}

function sizesOf(info: SemanticIdInfo, pipeline: VQPipeline | undefined, file: string): readonly number[] {
  const written = info.metadata.codebook_sizes?.split(',').map(Number)
  const sizes = pipeline?.info.codebookSizes ?? info.codebookSizes ?? written
  if (sizes?.every(n => Number.isInteger(n) && n > 0)) return sizes
  throw new VqConfigError({
    operation: 'vq analyze',
    expected: 'the sizes of the codebooks, which IDs of vq encode bring along',
    received: `none in ${file}`,
    remedy: 'Pass --model.',
  })
}

async function analyze(options: AnalyzeCommandOptions, console: Console): Promise<CommandResult> {
  const { ids, model, out, data, pair, sample = 3000 } = options
  const started = performance.now()
  const pipeline = model === undefined ? undefined : await VQPipeline.loadPipeline(model)
  let source: Source | undefined
  try {
    const { table: all, captions } = await tableOf(ids, pipeline)
    if (data !== undefined && pipeline === undefined)
      throw new VqConfigError({
        operation: 'vq analyze',
        expected: '--model beside --data: it says how the data is read',
        received: 'none',
        remedy: 'Pass the model that made the IDs.',
      })
    const dataOptions = { ...options, data: data ?? [] } as DataOptions
    if (pipeline !== undefined && data !== undefined)
      source = await openHalf(
        pipeline,
        { ...dataOptions, ...(await modalityIn(ids)) },
        { signal: console.signal, onSkip: console.skipped },
      )
    const places = source === undefined ? undefined : new Map(source.ids.map((id, i) => [id, i]))
    expectFound(all, places, data)
    const labels = labelsOf(all, source, places)
    const vectors =
      pipeline === undefined || source === undefined || places === undefined
        ? undefined
        : await sampledVectors(pipeline, source, places, all, sample, console.signal)
    const analysis = analyzeIds(all, { sample, ...(labels && { labels }), ...vectors })
    const recall = pair === undefined ? undefined : [await recallOf(all, ids, pair)]
    // Signals are delivered between turns of the event loop.
    await new Promise(resolve => setImmediate(resolve))
    if (console.signal.aborted) throw new VqAbortError('vq analyze', console.signal.reason)
    const preview = previewer(source, places, captions)
    const rates = pipeline && vectors && (await ratesOf(pipeline, vectors, all))
    const reconstructions = pipeline && source && (await reconstructed(pipeline, all))
    const metrics = model === undefined ? undefined : await metricsIn(model)
    const summary = await writeReport(out, {
      title: options.title ?? `Semantic IDs of ${count(all.ids.length)} items`,
      ...(model !== undefined && { subtitle: `Encoded with ${model}` }),
      about: aboutOf(options, pipeline, all),
      table: all,
      analysis,
      ...(labels && { labels }),
      ...(preview && { preview }),
      ...(metrics && metrics.length > 1 && { metrics }),
      ...(recall && { recall }),
      ...(rates && { rates }),
      ...(reconstructions && { reconstructions }),
      ...codebooksOf(pipeline),
      ...gridOf(pipeline),
      ...(console.skippedCount > 0 && {
        skipped: { count: console.skippedCount, examples: console.skippedItems.slice(0, 50) },
      }),
    })
    const figures = analysisFigures(analysis)
    await writeFileAtomic(`${out.replace(/\.html?$/, '')}.json`, `${JSON.stringify(figures, null, 2)}\n`)
    const seconds = (performance.now() - started) / 1000
    const { levels, ids: wholeIds, bits } = analysis
    const rows: [string, string][] = [
      ['items', count(all.ids.length)],
      ['different IDs', `${count(wholeIds.unique)}`],
      [
        'bits of an item',
        `${bits.nominal.toFixed(1)}, ${bits.entropy.toFixed(1)} by the entropy of each level`,
      ],
      ...levels
        .slice(0, 8)
        .map(
          ({ level, uniqueTokens, size, perplexity }) =>
            [
              `level ${level + 1}`,
              `${count(uniqueTokens)} of ${count(size)} codes, perplexity ${perplexity.toFixed(1)}`,
            ] as [string, string],
        ),
      ...(recall?.[0]?.result.recall ?? []).map(
        ({ k, aToB, bToA, chance }) =>
          [
            `recall@${k} of pairs`,
            `${aToB.toFixed(3)}, back ${bToA.toFixed(3)}; ${chance.toFixed(3)} by chance`,
          ] as [string, string],
      ),
      ['report', `${out}, ${count(summary.bytes)} bytes`],
      ['time', minutes(seconds)],
    ]
    return {
      json: { out, figures, recall: recall?.[0]?.result, seconds },
      text: `\n${table(rows)}\n\nOpen ${out} in a browser.\n`,
    }
  } finally {
    await source?.close()
    pipeline?.dispose()
  }
}

// Of a model of pairs: which half the IDs are of.
async function modalityIn(file: string): Promise<{ modality?: Modality }> {
  const { modality } = (await readSemanticIdInfo(file)).metadata
  return modality === 'text' || modality === 'image' ? { modality } : {}
}

function expectFound(
  { ids }: IdTable,
  places: ReadonlyMap<string, number> | undefined,
  data: readonly string[] = [],
): void {
  if (places === undefined || ids.some(id => places.has(id))) return
  throw new VqConfigError({
    operation: 'vq analyze --data',
    expected: `the items of the IDs, such as ${JSON.stringify(ids[0])}`,
    received: `none of them in ${data.join(', ')}, only such as ${JSON.stringify(places.keys().next().value)}`,
    remedy: 'Pass the data with the options that vq encode had, or leave --data out.',
  })
}

// Both files without what either could not encode: pairs are those of one id.
async function recallOf(
  all: IdTable,
  from: string,
  to: string,
): Promise<{ name: string; from: string; to: string; result: CrossModalRecall }> {
  const { table: other } = await tableOf(to, undefined)
  const [ours, theirs] = [await readSemanticIdInfo(from), await readSemanticIdInfo(to)]
  const [own, others] = [ours.metadata.codebook_hash, theirs.metadata.codebook_hash]
  if (own !== others)
    throw new VqConfigError({
      operation: 'vq analyze --pair',
      expected: `IDs of the same codebooks as ${from}`,
      received: `${to}, of others`,
      remedy: 'Encode both halves with one model: vq encode --modality image, and --modality text.',
    })
  const rows = new Map(other.ids.map((id, row) => [id, row]))
  const there = Array.from(all.ids.keys()).filter(row => rows.has(all.ids[row] as string))
  if (there.length === 0)
    throw new VqConfigError({
      operation: 'vq analyze --pair',
      expected: `ids of ${from} in ${to}: a pair has one id`,
      received: `none, such as ${all.ids[0]} there and ${other.ids[0]} here`,
      remedy: 'Encode both halves from the same data: vq encode --modality image, and --modality text.',
    })
  const partners = there.map(row => rows.get(all.ids[row] as string) as number)
  const result = crossModalRecall(rowsOf(all, there), rowsOf(other, partners))
  return { name: 'semantic IDs', from, to, result }
}

function rowsOf(table: IdTable, rows: readonly number[]): IdTable {
  const width = table.positions * table.levels
  const codes = new Int32Array(rows.length * width)
  for (const [i, row] of rows.entries())
    codes.set(table.codes.subarray(row * width, (row + 1) * width), i * width)
  return { ...table, ids: rows.map(row => table.ids[row] as string), codes }
}

function labelsOf(
  { ids }: IdTable,
  source: Source | undefined,
  places: ReadonlyMap<string, number> | undefined,
): string[] | undefined {
  const { labels } = source ?? {}
  if (labels === undefined || places === undefined) return undefined
  const found = ids.map(id => labels[places.get(id) ?? -1])
  // All of one folder have one name: that is no class.
  if (found.some(label => label === undefined) || new Set(found).size < 2) return undefined
  return found as string[]
}

function aboutOf(
  { ids, data }: AnalyzeCommandOptions,
  pipeline: VQPipeline | undefined,
  { codebookSizes, positions }: IdTable,
): { name: string; value: string | number }[] {
  const { values } = pipeline?.config ?? {}
  return [
    { name: 'IDs', value: ids },
    ...(data === undefined ? [] : [{ name: 'Data', value: data.join(', ') }]),
    ...(values === undefined
      ? []
      : [
          {
            name: 'Encoder',
            value: `${values.encoderType ?? `${values.image?.encoderType} and ${values.text?.encoderType}`}, ${pipeline?.dim} numbers`,
          },
          { name: 'Method', value: `${values.vqMethod}, objective ${pipeline?.config.objective}` },
        ]),
    { name: 'Codes', value: `${codebookSizes.join(' × ')}${positions > 1 ? ` at ${positions} places` : ''}` },
    ...(pipeline === undefined ? [] : [{ name: 'Codebook', value: pipeline.info.codebookHash.slice(0, 16) }]),
  ]
}

function codebooksOf(pipeline: VQPipeline | undefined): {
  codebooks?: { values: Float32Array[]; dim: number }
} {
  if (pipeline === undefined) return {}
  let book: ReturnType<VQPipeline['getCodebook']>
  try {
    book = pipeline.getCodebook()
  } catch {
    // A lattice may have more codes than anybody wants to list.
    return {}
  }
  const { shape } = book
  const [size, dim] = [shape.at(-2) as number, shape.at(-1) as number]
  const all = Float32Array.from(book.dataSync())
  book.dispose()
  if (dim < 2) return {}
  const values = Array.from({ length: all.length / (size * dim) }, (_, l) =>
    all.subarray(l * size * dim, (l + 1) * size * dim),
  )
  return values.length === pipeline.info.codebookSizes.length ? { codebooks: { values, dim } } : {}
}

function gridOf(pipeline: VQPipeline | undefined): { grid?: [number, number] } {
  const positions = pipeline?.info.positions ?? []
  return positions.length === 2 ? { grid: [positions[0] as number, positions[1] as number] } : {}
}

async function metricsIn(model: string): Promise<MetricsLine[] | undefined> {
  const text = await readFile(join(model, 'training', 'metrics.jsonl'), 'utf8').catch(() => undefined)
  return text
    ?.split('\n')
    .filter(line => line !== '')
    .map(line => JSON.parse(line) as MetricsLine)
}
