import { createHash } from 'node:crypto'
import { mkdir, readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { expectInteger, VqConfigError, VqFormatError, VqValueError } from '@vq/core'
import { writeFileAtomic } from '@vq/core/io'
import {
  iterateSemanticIds,
  readSemanticIdInfo,
  type WriteSemanticIdsOptions,
  writeSemanticIds,
} from './files.js'
import { checkedItem, expectInfo, formatOf, type SemanticId } from './record.js'

export interface IdWriterOptions extends WriteSemanticIdsOptions {
  /** Of an item's codes: [levels], or [positions, levels]. Default: items may have different numbers of codes. */
  shape?: readonly number[]
  /** Goes on from what an interrupted run left. Default false: that is thrown away. */
  resume?: boolean
  /** Items that are held until they go to the disk together; they go after ten seconds in any case. Default 10,000. */
  rowsPerPart?: number
  /** Ids of all items that are being encoded, in order: what is there already must be among them in this order. */
  sourceIds?: readonly string[]
}

/** Writes a file of semantic IDs that takes long. Made by `openIdWriter`. */
export interface IdWriter<State = unknown> {
  /** Items that are safe on the disk. */
  readonly done: number
  /** What the last safe `append` was given as its state: where to go on. */
  readonly state: State | undefined
  /** Takes the next items. `state` is plain JSON and says where the next call goes on. */
  append(items: Iterable<SemanticId>, state?: State): Promise<void>
  /** Makes the file out of everything, and removes what was kept beside it. */
  finish(): Promise<void>
  /** Stops. What is safe on the disk stays there for a later run. */
  abandon(): Promise<void>
}

interface Part {
  file: string
  rows: number
  state: unknown
}

const journalVersion = 1
// Milliseconds.
const longestHeld = 10_000

/**
 * Writes semantic IDs so that a run that was killed can go on: items go to `<file>.partial/` by parts, each of which appears whole
 * or not at all, and `finish` makes the file out of them. It depends on the items alone, byte for byte, however often a run was
 * interrupted and wherever.
 *
 * Throws VqConfigError where an interrupted run had other options, metadata or items; VqFormatError where what it left is damaged.
 *
 * @example
 * const writer = await openIdWriter<{ position: number }>('ids.parquet', { shape: [4], resume: true })
 * for (let at = writer.state?.position ?? 0; at < source.length; at += 256)
 *   await writer.append(await encode(at, 256), { position: at + 256 })
 * await writer.finish()
 */
export async function openIdWriter<State = unknown>(
  file: string,
  options: IdWriterOptions,
): Promise<IdWriter<State>> {
  const { resume = false, rowsPerPart = 10_000, sourceIds, ...rest } = options
  const operation = 'openIdWriter'
  expectInteger(operation, 'rowsPerPart', rowsPerPart, 1, 2 ** 24)
  formatOf(operation, file)
  const write = { captions: false, margins: false, ...rest }
  const folder = `${file}.partial`
  expectInfo(operation, write)
  const fingerprint = fingerprintOf(write)
  if (!resume) await rm(folder, { recursive: true, force: true })
  await mkdir(folder, { recursive: true })
  const parts = await readJournal(folder, fingerprint)
  if (sourceIds !== undefined) await expectIds(parts, sourceIds)

  const last = parts.at(-1)
  let done = parts.reduce((sum, part) => sum + part.rows, 0)
  let safe = last?.state as State | undefined
  let buffer: SemanticId[] = []
  let next: State | undefined = safe
  let ended = false
  let flushed = performance.now()

  const expectOpen = (): void => {
    if (!ended) return
    throw new VqConfigError({
      operation: 'IdWriter',
      expected: 'a writer that is still open',
      received: 'one that was finished or abandoned',
      remedy: 'Open it again, with resume: true to go on.',
    })
  }
  const flush = async (): Promise<void> => {
    const name = String(parts.length).padStart(8, '0')
    const path = join(folder, `${name}.vqids`)
    await writeSemanticIds(path, buffer, {
      ...write,
      captions: buffer.some(item => item.caption !== undefined),
      margins: buffer.some(item => item.margin !== undefined),
      rowGroupSize: 4096,
      metadata: { fingerprint, part: name, ...(next !== undefined && { state: JSON.stringify(next) }) },
    })
    parts.push({ file: path, rows: buffer.length, state: next })
    done += buffer.length
    buffer = []
    safe = next
    flushed = performance.now()
  }
  let turn: Promise<unknown> = Promise.resolve()
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const result = turn.then(work)
    turn = result.catch(() => {})
    return result
  }
  return {
    get done() {
      return done
    },
    get state() {
      return safe
    },
    append: (items, state) =>
      inTurn(async () => {
        expectOpen()
        const taken: SemanticId[] = []
        for (const item of items) {
          const row = done + buffer.length + taken.length
          checkedItem(item, row, write)
          for (const name of ['caption', 'margin'] as const)
            if (item[name] !== undefined && !write[`${name}s`]) throw unannounced(name, row)
          taken.push(item)
        }
        for (const item of taken) buffer.push(item)
        if (state !== undefined) next = state
        const late = buffer.length > 0 && performance.now() - flushed > longestHeld
        if (buffer.length >= rowsPerPart || late) await flush()
      }),
    finish: () =>
      inTurn(async () => {
        expectOpen()
        if (buffer.length > 0) await flush()
        await writeSemanticIds(file, itemsOf(parts), write)
        await rm(folder, { recursive: true, force: true })
        ended = true
      }),
    abandon: () =>
      inTurn(async () => {
        ended = true
        buffer = []
      }),
  }
}

function unannounced(name: 'caption' | 'margin', row: number): VqValueError {
  return new VqValueError({
    operation: 'IdWriter.append',
    expected: `items without a ${name}`,
    received: `a ${name} in row ${row}`,
    remedy: `Open the writer with ${name}s: true.`,
  })
}

function fingerprintOf(options: WriteSemanticIdsOptions): string {
  const { shape, codebookSizes, captions, margins, rowGroupSize, metadata = {} } = options
  const sortedPairs = Object.entries(metadata).sort(([a], [b]) => (a < b ? -1 : 1))
  const text = JSON.stringify([
    journalVersion,
    shape,
    codebookSizes,
    captions,
    margins,
    rowGroupSize,
    sortedPairs,
  ])
  return createHash('sha256').update(text).digest('hex')
}

async function readJournal(folder: string, fingerprint: string): Promise<Part[]> {
  const kept = join(folder, 'journal.json')
  const before = await readFile(kept, 'utf8').catch(() => undefined)
  if (before === undefined) {
    await writeFileAtomic(kept, `${JSON.stringify({ version: journalVersion, fingerprint })}\n`)
    return []
  }
  let own: unknown
  try {
    own = (JSON.parse(before) as { fingerprint?: unknown } | null)?.fingerprint
  } catch {
    own = undefined
  }
  if (own !== fingerprint)
    throw new VqConfigError({
      operation: 'openIdWriter',
      expected: `the options and metadata of the run that began ${folder}`,
      received: 'others: another model, shape, or kind of file',
      remedy: 'Go on with the same ones, or pass resume: false to start over.',
    })
  const names = (await readdir(folder)).filter(name => /^\d{8}\.vqids$/.test(name)).sort()
  const parts: Part[] = []
  for (const [i, name] of names.entries()) {
    const path = join(folder, name)
    const { metadata } = await readSemanticIdInfo(path)
    if (
      metadata.fingerprint !== fingerprint ||
      Number(metadata.part) !== i ||
      Number.parseInt(name, 10) !== i
    )
      throw new VqFormatError({
        operation: 'openIdWriter',
        expected: `part ${i} of the run that began ${folder}`,
        received: name,
        remedy: 'Pass resume: false to start over.',
      })
    let rows = 0
    for await (const _ of iterateSemanticIds(path)) rows++
    parts.push({
      file: path,
      rows,
      state: metadata.state === undefined ? undefined : JSON.parse(metadata.state),
    })
  }
  return parts
}

async function* itemsOf(parts: readonly Part[]): AsyncGenerator<SemanticId> {
  for (const part of parts) yield* iterateSemanticIds(part.file)
}

// Items that could not be read are missing: those that are there come in the source's order.
async function expectIds(parts: readonly Part[], ids: readonly string[]): Promise<void> {
  let at = 0
  for await (const { id } of itemsOf(parts)) {
    const from = at
    while (at < ids.length && ids[at] !== id) at++
    if (at++ < ids.length) continue
    throw new VqConfigError({
      operation: 'openIdWriter',
      expected: 'the items of the run that is to go on',
      received: `no ${JSON.stringify(id)} among them behind item ${from - 1}`,
      remedy: 'Pass the same data, or resume: false to start over.',
    })
  }
}
