import { extname, join } from 'node:path'
import { loadSharp } from '../../image/sharp.js'
import { type Skipped, scanFiles } from '../scan.js'
import { animationReader, type FrameReader, framesReader, videoReader } from './decoders.js'
import { findFfmpeg } from './ffmpeg.js'

const videoEndings = [
  '.mp4',
  '.mkv',
  '.mov',
  '.avi',
  '.webm',
  '.m4v',
  '.mpg',
  '.mpeg',
  '.flv',
  '.wmv',
  '.ogv',
]
const imageEndings = ['.jpg', '.jpeg', '.png', '.webp']
/** Of videos, animations and the images that frames are. */
export const videoFileEndings: ReadonlySet<string> = new Set([...videoEndings, ...imageEndings, '.gif'])

/** A video under a folder, and what gives its frames. */
export interface Video {
  /** Relative, with forward slashes. */
  path: string
  read: FrameReader
}

export interface FindVideosOptions {
  maxPixels: number
  ffmpeg?: string | undefined
}

export interface FoundVideos {
  videos: Video[]
  skipped: Skipped[]
}

/**
 * Videos, GIFs and folders of frames under `root`, by path. Where ffmpeg lies is only looked up when a video is read, then by
 * `findFfmpeg`.
 */
export async function findVideos(root: string, options: FindVideosOptions): Promise<FoundVideos> {
  const { files, skipped } = await scanFiles(root, videoFileEndings, 'a video, GIF or image')
  const found = await videosOf(root, files, options)
  return { videos: found.videos, skipped: [...skipped, ...found.skipped] }
}

/** The same for files that were found before, by their paths relative to `root`. */
export async function videosOf(
  root: string,
  files: readonly string[],
  options: FindVideosOptions,
): Promise<FoundVideos> {
  const { maxPixels } = options
  const skipped: Skipped[] = []
  const sharp = await loadSharp()
  let found: Promise<string> | undefined
  const ffmpeg = (): Promise<string> => {
    found ??= findFfmpeg(options.ffmpeg)
    return found
  }
  const videos: Video[] = []
  const folders = new Map<string, string[]>()
  for (const file of files) {
    const ending = extname(file).toLowerCase()
    if (imageEndings.includes(ending)) {
      const parent = file.slice(0, Math.max(0, file.lastIndexOf('/')))
      folders.set(parent, [...(folders.get(parent) ?? []), file.slice(parent === '' ? 0 : parent.length + 1)])
    } else if (ending === '.gif')
      videos.push({ path: file, read: animationReader(sharp, join(root, file), maxPixels) })
    else videos.push({ path: file, read: videoReader(ffmpeg, join(root, file)) })
  }
  for (const [parent, names] of folders) {
    if (parent === '')
      for (const file of names) skipped.push({ file, reason: 'an image outside of a folder of frames' })
    else
      videos.push({
        path: parent,
        read: framesReader(sharp, join(root, parent), names.sort(naturally), maxPixels),
      })
  }
  videos.sort((a, b) => (a.path < b.path ? -1 : 1))
  return { videos, skipped }
}

// Runs of digits by their value, everything else by code point.
function naturally(a: string, b: string): number {
  const [left, right] = [a, b].map(name => name.split(/(\d+)/))
  for (let i = 0; i < Math.min(left.length, right.length); i++) {
    if (left[i] === right[i]) continue
    const difference = i % 2 === 1 ? Number(left[i]) - Number(right[i]) : 0
    return difference || (left[i] < right[i] ? -1 : 1)
  }
  return left.length - right.length
}
