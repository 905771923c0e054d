import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, extname, join, normalize } from 'node:path'
import { tf, VqAbortError, VqConfigError, VqFormatError } from '@vq/core'
import { saveNpy, writeFileAtomic } from '@vq/core/io'
import { Command } from 'commander'
import sharp from 'sharp'
import { joined } from '../joined.js'
import { VQPipeline } from '../pipeline/index.js'
import { iterateSemanticIds, readSemanticIdInfo, type StoredSemanticId } from '../semantic-ids/index.js'
import { whole } from './data-options.js'
import { type CommandResult, type Console, count, minutes, run, table } from './run.js'

interface DecodeOptions {
  model: string
  ids: string
  out: string
  levels?: number
  embeddings?: boolean
  json?: boolean
}

export function decodeCommand(setExitCode: (code: number) => void): Command {
  return new Command('decode')
    .description('turn semantic IDs back into images, texts, videos or vectors')
    .requiredOption('--model <folder>', 'what vq train --out wrote')
    .requiredOption('--ids <file>', 'what vq encode --out wrote')
    .requiredOption('--out <folder>', 'where pictures, texts.jsonl or embeddings.npy go')
    .option('--levels <n>', 'only the first levels of each code: coarser', whole)
    .option('--embeddings', 'the vectors that codes stand for, whatever the model can decode')
    .option('--json', 'print the result as JSON')
    .addHelpText(
      'after',
      `
Examples:
  vq decode --model runs/photos --ids ids.parquet --out back
  vq decode --model runs/photos --ids ids.parquet --out coarse --levels 1`,
    )
    .action(async (options: DecodeOptions) =>
      setExitCode(
        await run(
          options,
          console => decode(options, console),
          () => 'Stopped; the files that were written are whole.',
        ),
      ),
    )
}

const block = 128

async function decode(options: DecodeOptions, console: Console): Promise<CommandResult> {
  const { model, ids, out, embeddings: wantsVectors = false } = options
  const started = performance.now()
  const pipeline = await VQPipeline.loadPipeline(model)
  try {
    const { metadata } = await readSemanticIdInfo(ids)
    pipeline.expectSameCodebook(metadata, ids)
    const levels = levelsOf(pipeline, options)
    await mkdir(out, { recursive: true })
    const vectors: Float32Array[] = []
    const texts: string[] = []
    const names: string[] = []
    let pictures = 0
    const taken = new Set<string>()
    for await (const rows of blocks(ids)) {
      // Signals are delivered between turns of the event loop.
      await new Promise(resolve => setImmediate(resolve))
      if (console.signal.aborted) throw new VqAbortError('vq decode', console.signal.reason)
      const codes = codesOf(pipeline, rows, ids, metadata.unique === 'true', levels)
      const { embeddings, reconstructed, texts: written } = await pipeline.decodeFromSemanticIds(codes)
      codes.dispose()
      for (const row of rows) names.push(row.id)
      if (written !== undefined && !wantsVectors)
        for (const [i, text] of written.entries()) texts.push(JSON.stringify({ id: rows[i]?.id, text }))
      else if (reconstructed !== undefined && !wantsVectors)
        pictures += await writePictures(reconstructed, rows, out, taken)
      else vectors.push(Float32Array.from(embeddings.dataSync()))
      tf.dispose([embeddings, ...(reconstructed === undefined ? [] : [reconstructed])])
    }
    if (texts.length > 0) await writeFileAtomic(join(out, 'texts.jsonl'), `${texts.join('\n')}\n`)
    if (vectors.length > 0) {
      const data = joined(vectors, Float32Array)
      await saveNpy(join(out, 'embeddings.npy'), {
        dtype: 'F32',
        shape: [names.length, data.length / names.length],
        data,
      })
      await writeFileAtomic(join(out, 'embeddings.ids.txt'), `${names.join('\n')}\n`)
    }
    const seconds = (performance.now() - started) / 1000
    const kind =
      vectors.length > 0 ? 'embeddings.npy' : texts.length > 0 ? 'texts.jsonl' : `${count(pictures)} pictures`
    return {
      json: { out, items: names.length, seconds, wrote: kind },
      text: `\n${table([
        ['decoded', `${count(names.length)} items`],
        ['into', `${out}/ (${kind})`],
        ['time', minutes(seconds)],
      ])}\n`,
    }
  } finally {
    pipeline.dispose()
  }
}

function levelsOf(pipeline: VQPipeline, { levels }: DecodeOptions): number {
  const all = pipeline.info.codebookSizes.length
  if (levels === undefined) return all
  if (Number.isInteger(levels) && levels >= 1 && levels <= all) return levels
  throw new VqConfigError({
    operation: 'vq decode --levels',
    expected: `a whole number from 1 to ${all}`,
    received: String(levels),
    remedy: 'Pass one in that range.',
  })
}

async function* blocks(file: string): AsyncGenerator<StoredSemanticId[]> {
  let rows: StoredSemanticId[] = []
  let length = -1
  for await (const row of iterateSemanticIds(file)) {
    // Texts with a code per token have as many as they have tokens.
    if (rows.length === block || (rows.length > 0 && row.codes.length !== length)) {
      yield rows
      rows = []
    }
    length = row.codes.length
    rows.push(row)
  }
  if (rows.length > 0) yield rows
}

function codesOf(
  pipeline: VQPipeline,
  rows: readonly StoredSemanticId[],
  file: string,
  unique: boolean,
  kept: number,
): tf.Tensor {
  const { codebookSizes, positions } = pipeline.info
  const levels = codebookSizes.length
  const given = (rows[0]?.codes.length ?? 0) - (unique ? 1 : 0)
  const places = positions.length === 0 ? 1 : given / levels
  if (given !== places * levels || !Number.isInteger(places))
    throw new VqFormatError({
      operation: `reading ${file}`,
      expected: positions.length === 0 ? `${levels} codes per item` : `${levels} codes per position`,
      received: `${given} codes of ${JSON.stringify(rows[0]?.id)}`,
      remedy: 'Pass the IDs that this model wrote.',
    })
  const all = new Int32Array(rows.length * places * kept)
  for (const [i, { codes }] of rows.entries())
    for (let p = 0; p < places; p++)
      all.set(codes.subarray(p * levels, p * levels + kept), (i * places + p) * kept)
  return tf.tensor(all, [rows.length, ...(positions.length > 0 ? [places] : []), kept], 'int32')
}

// Images as PNG files named by their ids, videos as a folder of frames; names never leave the folder.
async function writePictures(
  values: tf.Tensor,
  rows: readonly StoredSemanticId[],
  out: string,
  taken: Set<string>,
): Promise<number> {
  const clipped = tf.tidy(() => tf.cast(tf.round(tf.mul(tf.clipByValue(values, 0, 1), 255)), 'int32'))
  const bytes = Uint8Array.from(clipped.dataSync())
  clipped.dispose()
  const shape = values.shape.slice(1)
  const frames = shape.length === 4 ? (shape[0] as number) : 1
  const [height, width, channels] = shape.slice(-3) as [number, number, 1 | 3]
  const size = height * width * channels
  for (const [i, { id }] of rows.entries()) {
    const name = freePlace(placeOf(id), taken)
    for (let f = 0; f < frames; f++) {
      const file =
        frames === 1 ? join(out, `${name}.png`) : join(out, name, `${String(f).padStart(4, '0')}.png`)
      await mkdir(dirname(file), { recursive: true })
      const raw = bytes.subarray((i * frames + f) * size, (i * frames + f + 1) * size)
      await writeFile(file, await sharp(raw, { raw: { width, height, channels } }).png().toBuffer())
    }
  }
  return rows.length
}

/** `place`, or with `~2` and so on behind it where an id before had the same one: cat.jpg and cat.png are two pictures. */
export function freePlace(place: string, taken: Set<string>): string {
  let free = place
  for (let n = 2; taken.has(free); n++) free = `${place}~${n}`
  taken.add(free)
  return free
}

/** A path below a folder for an id: its own, without its ending, steps upwards and what file systems do not take. */
export function placeOf(id: string): string {
  const ending = extname(id)
  const bare = /^\.(jpe?g|png|webp|gif|mp4|avi|mov|mkv|webm|npy)$/i.test(ending)
    ? id.slice(0, -ending.length)
    : id
  const parts = normalize(bare.replaceAll('\\', '/'))
    .split('/')
    .filter(part => part !== '' && part !== '.' && part !== '..')
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is left out
    .map(part => part.replace(/[<>:"|?*\u0000-\u001f]/g, '_').slice(0, 200))
  return parts.length === 0 ? 'item' : join(...parts)
}
