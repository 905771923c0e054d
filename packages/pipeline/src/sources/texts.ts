import { readFile, stat } from 'node:fs/promises'
import { VqAbortError } from '@vq/core'
import { mapBounded } from '@vq/models/readers'
import type { FoundFile } from './found-files.js'
import { type Kernel, unique } from './kernel.js'
import type { FailedItem, SkippedItem, SourceOptions } from './source.js'
import { openTable } from './tables/index.js'
import { cellText, itemColumns, tableItems } from './tables/items.js'
import { openTextLines } from './tables/lines.js'
import { Bad, isTable, type Table, textOf } from './tables/table.js'

/** Texts of one file, or of several that are one text each. */
interface TextPart {
  ids: readonly string[]
  labels?: readonly string[] | undefined
  captions?: readonly string[] | undefined
  read(indices: Int32Array): Promise<(string | Bad)[]>
}

const usual = ['text', 'sentence', 'content', 'body', 'description', 'caption', 'title']
// One text is no book.
const longestText = 2 ** 24

/** Texts of tables, of text files by line, and of text files as a whole. */
export async function textKernel(
  files: readonly FoundFile[],
  skipped: SkippedItem[],
  options: SourceOptions,
): Promise<Kernel> {
  const { textUnit, memoryBytes = 2 ** 28 } = options
  const byLine = ({ path, named }: FoundFile): boolean =>
    !isTable(path) && (textUnit === undefined ? named : textUnit === 'line')
  const rowFiles = files.filter(file => isTable(file.path) || byLine(file))
  const parts: TextPart[] = []
  const alone = files.length === 1
  for (const file of rowFiles) {
    const prefix = alone && file.named ? '' : `${file.id}#`
    const table = await openOr(skipped, file, () =>
      isTable(file.path) ? openTable(file.path, options) : openTextLines(file.path, memoryBytes),
    )
    if (table !== undefined)
      parts.push(await textsOf(table, prefix, byLine(file) ? plain(options) : options, skipped))
  }
  const whole = files.filter(file => !rowFiles.includes(file))
  if (whole.length > 0) parts.push(await wholeTexts(whole, memoryBytes, skipped))
  return joined(parts, skipped, options)
}

/** What an opened file gives; a damaged one is skipped. */
export async function openOr<T>(
  skipped: SkippedItem[],
  file: FoundFile,
  open: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await open()
  } catch (error) {
    const { name, received } = error as { name: string; received?: string }
    if (name !== 'VqFormatError') throw error
    skipped.push({ id: file.id, reason: received ?? String(error) })
    return undefined
  }
}

// The columns of other tables say nothing of plain lines.
function plain({ signal }: SourceOptions): SourceOptions {
  return { modality: 'text', column: 'text', ...(signal && { signal }) }
}

async function textsOf(
  table: Table,
  prefix: string,
  options: SourceOptions,
  skipped: SkippedItem[],
): Promise<TextPart> {
  const { memoryBytes = 2 ** 28 } = options
  const columns = itemColumns(table, options, usual)
  const keep = table.size <= memoryBytes
  const items = await tableItems(table, columns, options, prefix, cells => {
    const text = joinedText(cells)
    return text instanceof Bad || keep ? text : ''
  })
  skipped.push(...items.skipped)
  const { rows, values, ids, labels, captions } = items
  return {
    ids,
    labels,
    captions,
    read: async indices => {
      if (keep) return Array.from(indices, i => values[i])
      const found = await table.read(
        indices.map(i => rows[i]),
        columns,
      )
      return found.map(cells => (cells instanceof Bad ? cells : joinedText(cells)))
    },
  }
}

function joinedText(cells: readonly unknown[]): string | Bad {
  const texts: string[] = []
  for (const cell of cells) {
    const text = cellText(cell) ?? ''
    if (text instanceof Bad) return text
    texts.push(text)
  }
  const text = texts.join(' ')
  return text.trim() === '' ? new Bad('an empty text') : text
}

async function wholeTexts(
  files: readonly FoundFile[],
  memoryBytes: number,
  skipped: SkippedItem[],
): Promise<TextPart> {
  let left = memoryBytes
  const read = async ({ path }: FoundFile): Promise<string | Bad> => {
    try {
      const info = await stat(path)
      if (info.size > longestText)
        return new Bad(`${info.size} bytes where a text has at most ${longestText}`)
      const text = textOf(await readFile(path))
      return text instanceof Bad || text.trim() !== '' ? text : new Bad('an empty text')
    } catch (error) {
      return new Bad((error as NodeJS.ErrnoException).code ?? String(error))
    }
  }
  const first = await mapBounded(files, 16, async file => {
    const text = await read(file)
    if (text instanceof Bad) return text
    left -= 2 * text.length
    return left >= 0 ? text : undefined
  })
  const good = files.filter((_, i) => !(first[i] instanceof Bad))
  const kept = first.filter(text => !(text instanceof Bad)) as (string | undefined)[]
  for (const [i, text] of first.entries())
    if (text instanceof Bad) skipped.push({ id: files[i].id, reason: text.reason })
  const ids = good.map(({ id }) => id)
  const labels = ids.map(folderOf)
  return {
    ids,
    labels: labels.some(label => label !== '') ? labels : undefined,
    read: indices => mapBounded(indices, 16, async i => kept[i] ?? read(good[i])),
  }
}

/** The folder that an id lies in, '' at the top. */
export function folderOf(id: string): string {
  return id.slice(0, Math.max(0, id.lastIndexOf('/')))
}

function joined(parts: readonly TextPart[], skipped: SkippedItem[], options: SourceOptions): Kernel {
  const ids = unique(
    parts.flatMap(part => part.ids),
    options.strict ?? false,
  )
  const starts = [0]
  for (const part of parts) starts.push(starts[starts.length - 1] + part.ids.length)
  const all = (of: (part: TextPart) => readonly string[] | undefined): readonly string[] | undefined =>
    parts.some(part => of(part) !== undefined)
      ? parts.flatMap(part => of(part) ?? part.ids.map(() => ''))
      : undefined
  return {
    modality: 'text',
    length: ids.length,
    shape: [],
    id: index => ids[index],
    labels: all(part => part.labels),
    captions: all(part => part.captions),
    skipped,
    checkedAtOnce: 4096,
    read: async (indices, signal) => {
      const found = new Array<string | Bad>(indices.length)
      for (const [p, part] of parts.entries()) {
        if (signal?.aborted) throw new VqAbortError('Source.read', signal.reason)
        const places = Array.from(indices.keys()).filter(
          n => indices[n] >= starts[p] && indices[n] < starts[p + 1],
        )
        if (places.length === 0) continue
        const texts = await part.read(Int32Array.from(places, n => indices[n] - starts[p]))
        for (const [i, n] of places.entries()) found[n] = texts[i]
      }
      const failed: FailedItem[] = []
      for (const [n, text] of found.entries())
        if (text instanceof Bad) failed.push({ index: indices[n], id: ids[indices[n]], reason: text.reason })
      return {
        values: found.filter(text => typeof text === 'string'),
        indices: indices.filter((_, n) => typeof found[n] === 'string'),
        failed,
      }
    },
    close: async () => {},
  }
}
