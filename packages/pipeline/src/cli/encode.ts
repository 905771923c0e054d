import { readdir, stat } from 'node:fs/promises'
import { VqConfigError } from '@vq/core'
import { Command } from 'commander'
import { type EncodedBlock, VQPipeline } from '../pipeline/index.js'
import {
  Disambiguator,
  iterateSemanticIds,
  openIdWriter,
  readSemanticIdInfo,
  type SemanticId,
  type StoredSemanticId,
} from '../semantic-ids/index.js'
import type { Modality, Source, SourceOptions } from '../sources/index.js'
import { someOf } from '../sources/some-of.js'
import { codesText } from './codes-text.js'
import {
  addDataOptions,
  type DataOptions,
  dataWords,
  oneOf,
  openData,
  openFor,
  whole,
} from './data-options.js'
import { type CommandResult, type Console, count, minutes, run, shellWords, table } from './run.js'

interface EncodeOptions extends DataOptions {
  model: string
  out: string
  addTo?: string
  unique?: boolean
  margins?: boolean
  modality?: Modality
  resume?: boolean
  saveEvery?: number
  json?: boolean
}

/** Where a stopped run goes on. A type, not an interface: it is written as JSON. */
type State = { position: number; skipped: number }

export function encodeCommand(setExitCode: (code: number) => void): Command {
  const command = new Command('encode')
    .description('write the semantic IDs of items with a trained pipeline')
    .requiredOption('--model <folder>', 'what vq train --out wrote')
    .requiredOption('--out <file>', 'ids.parquet, ids.jsonl or ids.vqids (packed)')
    .option(
      '--add-to <file>',
      'IDs that are there already: they stay as they are, and only new items are encoded',
    )
    .option('--unique', 'a last level that makes IDs unique; with --add-to earlier ones never change')
    .option(
      '--margins',
      'how near the second code of each item is: its distance over that of the first, less 1',
    )
    .option(
      '--modality <image|text>',
      'of a model of pairs: which half of each pair (default: image); texts alone where no captions are named',
      oneOf('image', 'text'),
    )
    .option('--resume', 'go on where a stopped run was; the file becomes the same')
    .option(
      '--save-every <items>',
      'how often what was encoded is made safe (default: 10000, and every ten seconds)',
      whole,
    )
    .option('--json', 'print the result as JSON')
  return addDataOptions(command)
    .addHelpText(
      'after',
      `
Examples:
  vq encode --model runs/photos --data ./photos --out ids.parquet
  vq encode --model runs/photos --data ./new --add-to ids.parquet --unique --out ids-2.parquet
  vq encode --model runs/news --data news.csv --column title --out ids.jsonl --resume
  vq encode --model runs/pairs --data ./pictures --captions captions.csv --modality text --out texts.parquet
  vq encode --model runs/pairs --data questions.txt --modality text --out questions.jsonl`,
    )
    .action(async (options: EncodeOptions) =>
      setExitCode(
        await run(
          options,
          console => encode(options, console),
          () => resumeLine(options),
        ),
      ),
    )
}

function resumeLine(options: EncodeOptions): string {
  const { model, out, addTo, unique, margins, modality } = options
  const more = [
    ...(addTo === undefined ? [] : ['--add-to', addTo]),
    ...(unique ? ['--unique'] : []),
    ...(margins ? ['--margins'] : []),
    ...(modality === undefined ? [] : ['--modality', modality]),
  ]
  const words = shellWords([...more, '--out', out])
  return `Stopped; what was encoded is safe. To go on:\n\n  npx vq encode --model ${shellWords([model])} ${dataWords(options)} ${words} --resume\n`
}

async function encode(options: EncodeOptions, console: Console): Promise<CommandResult> {
  const { model, out, margins = false, resume = false, unique = false, addTo } = options
  const started = performance.now()
  const pipeline = await VQPipeline.loadPipeline(model)
  let source: Source | undefined
  try {
    source = await openHalf(pipeline, options, { signal: console.signal, onSkip: console.skipped })
    const earlier = addTo === undefined ? [] : await earlierItems(pipeline, addTo, unique)
    const { ids } = source
    const known = new Set(earlier.map(item => item.id))
    const isNew = (i: number): boolean => !known.has(ids[i] as string)
    const fresh = known.size === 0 ? source : someOf(source, Array.from(source.ids.keys()).filter(isNew))
    const { codebookSizes, positions } = pipeline.info
    const places = positions.reduce((a, b) => a * b, 1)
    // Texts have as many codes as tokens, and the number that makes an ID unique is of no codebook.
    const ragged = positions.length > 0 && pipeline.modalities[0] === 'text'
    if (unique && positions.length > 0) throw noUnique()
    const shape = unique ? [codebookSizes.length + 1] : positions.length > 0 ? [places, codebookSizes.length] : [codebookSizes.length] // biome-ignore format: one line
    const captions = source.captions !== undefined
    const writer = await openIdWriter<State>(out, {
      ...(!ragged && { shape }),
      ...(!ragged && !unique && { codebookSizes }),
      captions: captions || earlier.some(item => item.caption !== undefined),
      margins,
      metadata: { ...pipeline.idMetadata(), modality: source.modality, unique: String(unique) },
      resume,
      ...(options.saveEvery !== undefined && { rowsPerPart: Math.max(1, options.saveEvery) }),
      sourceIds: [...earlier.map(item => item.id), ...fresh.ids],
    })
    const state = writer.state ?? { position: 0, skipped: 0 }
    const numbers = unique ? new Disambiguator(earlier) : undefined
    const done = writer.done
    if (done > 0) console.say(`Going on after ${count(done)} items`)
    if (numbers !== undefined && done > earlier.length) await replay(out, numbers, new Set(known))
    if (done < earlier.length) await writer.append(earlier.slice(done), { position: 0, skipped: 0 })
    let { position, skipped } = state
    const report = progress(fresh.length, console)
    for await (const block of pipeline.encodeSource(fresh, {
      from: position,
      margins,
      signal: console.signal,
    })) {
      position += block.indices.length + block.failed.length
      skipped += block.failed.length
      const rows = itemsOf(block, fresh)
      await writer.append(numbers === undefined ? rows : rows.map(row => numbers.next(row)), {
        position,
        skipped,
      })
      report(position)
    }
    const written = position - skipped
    await writer.finish()
    const seconds = (performance.now() - started) / 1000
    const { size } = await stat(out)
    const { text: codesOfItem, bits } = codesText(pipeline.info)
    const json = {
      out,
      items: written + earlier.length,
      encoded: written,
      earlier: earlier.length,
      skipped: skipped + fresh.skipped.length,
      seconds,
      bytes: size,
      bitsPerItem: bits,
      codebookHash: pipeline.info.codebookHash,
    }
    const rows: [string, string][] = [
      ['encoded', `${count(written)} items, ${count(written / seconds)} a second`],
      ...(earlier.length > 0 ? [['there before', count(earlier.length)] as [string, string]] : []),
      ...(json.skipped > 0 ? [['skipped', count(json.skipped)] as [string, string]] : []),
      ['codes of an item', codesOfItem],
      ['time', minutes(seconds)],
      ['file', `${out}, ${count(size)} bytes`],
    ]
    return {
      json,
      text: `\n${table(rows)}\n\nNext:\n\n  npx vq analyze --model ${shellWords([model])} --ids ${shellWords([out])} ${dataWords(options)} --out report.html\n`,
    }
  } finally {
    await source?.close()
    pipeline.dispose()
  }
}

/** Of a model of pairs the half that is asked for: captions of pictures, or texts of their own where nothing names captions. */
export async function openHalf(
  pipeline: VQPipeline,
  options: DataOptions & { modality?: Modality },
  more: Pick<SourceOptions, 'onSkip' | 'signal'>,
): Promise<Source> {
  const { modality, captions, captionColumn } = options
  const [first] = pipeline.modalities
  if (modality === undefined || modality === first) return await openFor(pipeline, options, more)
  if (modality !== 'text' || !pipeline.modalities.includes('text'))
    throw new VqConfigError({
      operation: 'vq encode',
      expected: `--modality ${pipeline.modalities.join(' or ')}`,
      received: modality,
      remedy: 'Leave it out.',
    })
  if (captions === undefined && captionColumn === undefined)
    return await openData(options, { modality: 'text' }, more)
  return VQPipeline.captions(await openFor(pipeline, options, more))
}

/** The items of a block with their codes, without masked positions. */
export function itemsOf({ codes, indices, margins }: EncodedBlock, source: Source): SemanticId[] {
  const each = codes.length / Math.max(1, indices.length)
  return Array.from(indices, (index, i) => {
    const caption = source.captions?.[index]
    const own = codes.subarray(i * each, (i + 1) * each)
    return {
      id: source.ids[index] as string,
      codes: own.includes(-1) ? own.filter(code => code >= 0) : own,
      ...(caption !== undefined && { caption }),
      ...(margins !== undefined && { margin: margins[i] as number }),
    }
  })
}

async function earlierItems(
  pipeline: VQPipeline,
  file: string,
  unique: boolean,
): Promise<StoredSemanticId[]> {
  const { metadata } = await readSemanticIdInfo(file)
  pipeline.expectSameCodebook(metadata, file)
  if ((metadata.unique === 'true') !== unique)
    throw new VqConfigError({
      operation: 'vq encode --add-to',
      expected: unique ? `${file} to have unique IDs` : `--unique, as ${file} has`,
      received: unique ? 'IDs without the level that makes them unique' : 'none',
      remedy: unique ? 'Encode it anew with --unique.' : 'Pass --unique.',
    })
  const items: StoredSemanticId[] = []
  for await (const item of iterateSemanticIds(file)) items.push(item)
  return items
}

// A stopped run has given numbers already: they are given again, in the same order.
async function replay(out: string, numbers: Disambiguator, earlier: ReadonlySet<string>): Promise<void> {
  const folder = `${out}.partial`
  for (const name of (await readdir(folder)).filter(n => n.endsWith('.vqids')).sort())
    for await (const { id, codes } of iterateSemanticIds(`${folder}/${name}`))
      if (!earlier.has(id)) numbers.next({ id, codes: codes.subarray(0, codes.length - 1) })
}

function noUnique(): VqConfigError {
  return new VqConfigError({
    operation: 'vq encode --unique',
    expected: 'a model with one embedding per item',
    received: 'codes per position',
    remedy: 'Leave --unique out: a grid of codes hardly ever occurs twice.',
  })
}

function progress(total: number, { json }: Console): (done: number) => void {
  const started = performance.now()
  let told = started
  return done => {
    const now = performance.now()
    if (json || now - told < 2000 || done >= total) return
    told = now
    const left = ((now - started) / 1000 / Math.max(1, done)) * (total - done)
    process.stderr.write(`${count(done)} of ${count(total)} items, ${minutes(left)} left\n`)
  }
}
