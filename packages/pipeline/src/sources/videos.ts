import { readdir, stat } from 'node:fs/promises'
import { basename, dirname, extname, join } from 'node:path'
import { VqFormatError } from '@vq/core'
import { decodeReason, imageFileEndings, Refused, type Video, videosOf } from '@vq/models/readers'
import type { FoundFile } from './found-files.js'
import { pictureKernel } from './images.js'
import type { Kernel } from './kernel.js'
import type { SkippedItem, SourceOptions } from './source.js'

export interface VideoItems {
  ids: readonly string[]
  videos: readonly Video[]
  labels?: readonly string[] | undefined
  captions?: readonly string[] | undefined
  skipped: readonly SkippedItem[]
}

const settingsOf = ({
  maxPixels = 100e6,
  ffmpeg,
}: SourceOptions): { maxPixels: number; ffmpeg?: string } => ({
  maxPixels,
  ...(ffmpeg !== undefined && { ffmpeg }),
})

/** Video files, GIFs and folders of frames among files; a folder that holds nothing but images is one video itself. */
export async function videosAmong(
  files: readonly FoundFile[],
  options: SourceOptions,
): Promise<Omit<VideoItems, 'captions'>> {
  const roots = new Map<string, FoundFile[]>()
  for (const file of files) roots.set(file.root, [...(roots.get(file.root) ?? []), file])
  const found: { id: string; video: Video; label: string }[] = []
  const skipped: SkippedItem[] = []
  for (const [root, all] of roots) {
    const names = all.map(({ id }) => id)
    const isFrames = all.every(
      ({ id, named }) => !named && !id.includes('/') && imageFileEndings.has(extname(id).toLowerCase()),
    )
    const part = isFrames
      ? await videosOf(
          dirname(root),
          names.map(name => `${basename(root)}/${name}`),
          settingsOf(options),
        )
      : await videosOf(root, names, settingsOf(options))
    for (const video of part.videos) {
      const label = video.path.slice(0, Math.max(0, video.path.lastIndexOf('/')))
      found.push({ id: video.path, video, label })
    }
    for (const { file, reason } of part.skipped) skipped.push({ id: file, reason })
  }
  const labels = found.map(({ label }) => label)
  return {
    ids: found.map(({ id }) => id),
    videos: found.map(({ video }) => video),
    labels: labels.some(label => label !== '') ? labels : undefined,
    skipped,
  }
}

/** The video at a path: a file, or a folder of frames. */
export async function videoAt(path: string, options: SourceOptions): Promise<Video> {
  const info = await stat(path)
  const [root, name] = [dirname(path), basename(path)]
  const files = info.isDirectory()
    ? (await readdir(path))
        .filter(file => imageFileEndings.has(extname(file).toLowerCase()))
        .map(file => `${name}/${file}`)
    : [name]
  const { videos, skipped } = await videosOf(root, files, settingsOf(options))
  if (videos.length === 1) return videos[0]
  throw new Refused(skipped[0]?.reason ?? 'a folder without frames')
}

/** Videos as [T, H, W, C]: the first T frames at `frameStride`. */
export function videoKernel(items: VideoItems, options: SourceOptions): Kernel {
  const { decodesAtOnce = 2, cacheBytes = 2 ** 30, timeoutMs = 300_000 } = options
  const { frameStride: stride = 1, shortVideos = 'repeat' } = options
  const shape = options.shape as readonly [number, number, number, number]
  const [frames, height, width] = shape
  const frame = height * width * 3
  return pictureKernel({
    ...items,
    modality: 'video',
    shape,
    decodesAtOnce,
    cacheBytes,
    decode: async (index, signal) => {
      const request = { size: [height, width] as const, stride, skip: 0, count: frames, timeoutMs, signal }
      const bytes = await items.videos[index].read(request)
      const have = bytes.length / frame
      if (have === frames) return bytes
      if (have === 0 || shortVideos === 'skip')
        throw new Refused(`${have} frames at stride ${stride} where ${frames} are needed`)
      const out = new Uint8Array(frames * frame)
      out.set(bytes)
      for (let i = have; i < frames; i++) out.set(bytes.subarray((have - 1) * frame), i * frame)
      return out
    },
    reason: error => (error instanceof VqFormatError ? error.received : decodeReason(error)),
  })
}

/** A path from a table's cell. */
export const besideTable = (table: string, cell: string): string => join(dirname(table), cell)
