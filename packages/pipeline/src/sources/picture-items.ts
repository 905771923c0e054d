import { VqError } from '@vq/core'
import { captionsOf, mapBounded, type Video } from '@vq/models/readers'
import type { FoundFile } from './found-files.js'
import { type ImageFile, imageKernel } from './images.js'
import { type Kernel, unique } from './kernel.js'
import type { SkippedItem, SourceOptions } from './source.js'
import { openTable } from './tables/index.js'
import { cellText, itemColumns, tableItems } from './tables/items.js'
import { Bad, isTable, type Table } from './tables/table.js'
import { folderOf, openOr } from './texts.js'
import { besideTable, videoAt, videoKernel, videosAmong } from './videos.js'

const usualNames: Record<'image' | 'video', readonly string[]> = {
  image: ['image', 'image_path', 'file', 'filename', 'file_name', 'path'],
  video: ['video', 'video_path', 'file', 'filename', 'file_name', 'path'],
}

interface PictureItem {
  id: string
  label: string
  caption: string | undefined
}

/** What is known of images or videos before they are opened. */
interface Found {
  items: PictureItem[]
  images: ImageFile[]
  videos: Video[]
  skipped: SkippedItem[]
}

/** Images or videos: files, and rows of tables. */
export async function pictures(
  files: readonly FoundFile[],
  skipped: SkippedItem[],
  options: SourceOptions,
  modality: 'image' | 'video',
): Promise<Kernel> {
  const found: Found = { items: [], images: [], videos: [], skipped }
  const loose = files.filter(file => !isTable(file.path))
  if (modality === 'image') await looseImages(loose, found, options)
  else await looseVideos(loose, found, options)
  const tables = files.filter(file => isTable(file.path))
  const kept: Table[] = []
  for (const file of tables) {
    const table = await openOr(skipped, file, () => openTable(file.path, options))
    if (table === undefined) continue
    kept.push(table)
    const prefix = tables.length === 1 && file.named ? '' : `${file.id}#`
    if (modality === 'image') await imageRows(table, prefix, found, options)
    else await videoRows(table, prefix, found, options)
  }
  const { items, images, videos } = found
  const labels = items.map(({ label }) => label)
  const common = {
    ids: unique(
      items.map(({ id }) => id),
      options.strict ?? false,
    ),
    labels: labels.some(label => label !== '') ? labels : undefined,
    captions: items.some(({ caption }) => caption !== undefined)
      ? items.map(({ caption }) => caption ?? '')
      : undefined,
    skipped,
  }
  const kernel =
    modality === 'image'
      ? await imageKernel({ ...common, images }, options)
      : videoKernel({ ...common, videos }, options)
  const close = async (): Promise<void> => {
    await Promise.all([kernel.close(), ...kept.map(table => table.close())])
  }
  return { ...kernel, close }
}

async function looseImages(files: readonly FoundFile[], found: Found, options: SourceOptions): Promise<void> {
  const captions = new Map<string, Awaited<ReturnType<typeof captionsOf>>>()
  for (const file of files) {
    if (options.captions !== undefined && !captions.has(file.root))
      captions.set(file.root, await captionsOf(file.root, options.captions))
    const caption = await captions
      .get(file.root)?.(file.id)
      .catch(error => {
        if (error instanceof VqError) return new Bad(`caption: ${error.received}`)
        throw error
      })
    if (caption instanceof Bad || (options.captions !== undefined && caption === undefined)) {
      found.skipped.push({ id: file.id, reason: caption?.reason ?? 'no caption' })
      continue
    }
    found.items.push({ id: file.id, label: folderOf(file.id), caption })
    found.images.push(file.path)
  }
}

async function looseVideos(files: readonly FoundFile[], found: Found, options: SourceOptions): Promise<void> {
  const { ids, videos, labels, skipped } = await videosAmong(files, options)
  found.skipped.push(...skipped)
  found.videos.push(...videos)
  for (const [i, id] of ids.entries()) found.items.push({ id, label: labels?.[i] ?? '', caption: undefined })
}

async function imageRows(table: Table, prefix: string, found: Found, options: SourceOptions): Promise<void> {
  const columns = itemColumns(table, options, usualNames.image)
  const take = ([cell]: readonly unknown[]): string | Bad | undefined =>
    bytesIn(cell) === undefined ? cellText(cell) || new Bad('no path') : undefined
  const rows = await tableItems(table, columns, options, prefix, take)
  found.skipped.push(...rows.skipped)
  for (const [i, id] of rows.ids.entries()) {
    const path = rows.values[i]
    const row = rows.rows[i]
    found.items.push({ id, label: rows.labels?.[i] ?? '', caption: rows.captions?.[i] })
    found.images.push(
      path === undefined ? () => embedded(table, columns, row) : besideTable(table.path, path),
    )
  }
}

// An image in the table itself, as bytes or as Hugging Face's { bytes, path }.
function bytesIn(cell: unknown): Uint8Array | undefined {
  const bytes = cell instanceof Uint8Array ? cell : (cell as { bytes?: unknown } | null)?.bytes
  return bytes instanceof Uint8Array ? bytes : undefined
}

async function embedded(table: Table, columns: readonly string[], row: number): Promise<Uint8Array> {
  const [cells] = await table.read(Int32Array.of(row), columns)
  return (cells instanceof Bad ? undefined : bytesIn(cells[0])) ?? new Uint8Array(0)
}

async function videoRows(table: Table, prefix: string, found: Found, options: SourceOptions): Promise<void> {
  const columns = itemColumns(table, options, usualNames.video)
  const rows = await tableItems(
    table,
    columns,
    options,
    prefix,
    ([cell]) => cellText(cell) || new Bad('no path'),
  )
  found.skipped.push(...rows.skipped)
  const videos = await mapBounded(rows.values, 8, path =>
    videoAt(besideTable(table.path, path), options).catch(
      error => new Bad((error as NodeJS.ErrnoException).code ?? (error as Error).message),
    ),
  )
  for (const [i, id] of rows.ids.entries()) {
    const video = videos[i]
    if (video instanceof Bad) {
      found.skipped.push({ id, reason: `${rows.values[i]}: ${video.reason}` })
      continue
    }
    found.videos.push(video)
    found.items.push({ id, label: rows.labels?.[i] ?? '', caption: rows.captions?.[i] })
  }
}
