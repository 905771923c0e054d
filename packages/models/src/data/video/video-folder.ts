import { resolve } from 'node:path'
import { expectInteger, expectOneOf, VqAbortError, VqConfigError, VqError, VqFormatError } from '@vq/core'
import { type Dataset, type Extras, expectIndices } from '../dataset.js'
import { decodeReason } from '../decode.js'
import { mapBounded } from '../files/bounded.js'
import { ByteCache } from '../files/byte-cache.js'
import { Gate } from '../files/gate.js'
import { isFolder, missing } from '../files/places.js'
import { labelExtra } from '../images/byte-images.js'
import { copyScaled } from '../images/scale.js'
import type { Skipped } from '../scan.js'
import { findVideos, type Video } from './find-videos.js'

export interface VideoFolderOptions {
  /** T: frames per clip. Default 16. */
  frames?: number
  /** Edge of the square frames in pixels. Default 64. */
  size?: number
  /** From frame to frame of the video. Default 1. */
  stride?: number
  /** At most so many clips of each video, one after another. Default 1. */
  clips?: number
  /** Path of the program; see `findFfmpeg` for where it is looked for. */
  ffmpeg?: string
  /** How many videos are decoded at once, each by a process of its own. Default 2. */
  decodesAtOnce?: number
  /** Bound of the cache of decoded clips. Default 1 GiB. */
  cacheBytes?: number
  /** Frames, and GIFs as a whole, of more pixels are refused. Default 100 million. */
  maxPixels?: number
  /** Milliseconds that one video may take. Default 300,000. */
  timeoutMs?: number
  /** What becomes of videos that cannot be used or are too short: listed in `skipped`, or the first one throws. Default 'skip'. */
  damaged?: 'skip' | 'throw'
  onProgress?: (done: number, total: number) => void
  /** Ends the program and all decoding, later too. */
  signal?: AbortSignal
}

/** Clips of videos. */
export interface VideoFolder extends Dataset {
  readonly folder: string
  /** The video's path, relative, and behind a # the clip's number from 0. */
  readonly ids: readonly string[]
  /** The folder each video lies in, relative; '' at the top. */
  readonly labels: readonly string[]
  /** These folders, sorted. With two or more of them the extra `label` [N] int32 holds each clip's. */
  readonly classes: readonly string[]
  readonly skipped: readonly Skipped[]
}

/**
 * Clips [T, size, size, 3], values 0..1, of the videos under a folder: video files, which ffmpeg decodes, GIFs, and folders of
 * frames as JPEG, PNG or WebP files, a video each, in the natural order of their names (2 before 10). Frames are scaled to
 * cover the square and cropped in the centre. Each video is decoded once when the folder is opened.
 * Throws VqConfigError without a usable video, VqDeviceError where video files lie there and ffmpeg does not, VqFormatError for
 * what cannot be decoded with `damaged: 'throw'`, and VqAbortError.
 */
export async function videoFolder(folder: string, options: VideoFolderOptions = {}): Promise<VideoFolder> {
  const { frames = 16, size = 64, stride = 1, clips = 1, decodesAtOnce = 2, cacheBytes = 2 ** 30 } = options
  const { maxPixels = 100e6, timeoutMs = 300_000, damaged = 'skip', onProgress, signal } = options
  expectInteger('videoFolder', 'frames', frames, 1, 4096)
  expectInteger('videoFolder', 'size', size, 1, 4096)
  expectInteger('videoFolder', 'stride', stride, 1, 4096)
  expectInteger('videoFolder', 'clips', clips, 1, 100_000)
  expectInteger('videoFolder', 'decodesAtOnce', decodesAtOnce, 1, 64)
  expectInteger('videoFolder', 'cacheBytes', cacheBytes, 0)
  expectInteger('videoFolder', 'maxPixels', maxPixels, 1)
  expectInteger('videoFolder', 'timeoutMs', timeoutMs, 1, 2 ** 31 - 1)
  expectOneOf('videoFolder', 'damaged', damaged, ['skip', 'throw'])
  const clipBytes = frames * size * size * 3
  if (!(clipBytes <= 2 ** 30))
    throw missing(
      'videoFolder',
      'clips of at most 1 GiB',
      `${clipBytes} bytes`,
      'Take fewer or smaller frames.',
    )
  const root = resolve(folder)
  if (!(await isFolder(root))) throw missing('videoFolder', `the folder ${root}`, 'none', 'Check the path.')

  const { videos, skipped } = await findVideos(root, { maxPixels, ffmpeg: options.ffmpeg })
  const gate = new Gate(decodesAtOnce)
  const cache = new ByteCache(cacheBytes)
  const read = (video: Video, skip: number, count: number): Promise<Uint8Array> =>
    gate.run(async () => {
      if (signal?.aborted) throw new VqAbortError('videoFolder', signal.reason)
      return video.read({ size: [size, size], stride, skip, count, timeoutMs, signal })
    })

  // So many clips at once that a process gives at most 64 MiB, however long its video is.
  const group = Math.max(1, Math.min(clips, Math.floor(2 ** 26 / clipBytes)))
  const found: Clip[][] = videos.map(() => [])
  const decoded = new Map<Clip, Uint8Array>()
  let done = 0
  const reasons = await mapBounded(videos, decodesAtOnce, async (video, at) => {
    try {
      for (let first = 0; first < clips; first += group) {
        const wanted = Math.min(group, clips - first)
        const bytes = await read(video, first * frames, wanted * frames)
        const whole = Math.floor(bytes.length / clipBytes)
        if (first === 0 && whole === 0)
          return `${bytes.length / (size * size * 3)} frames at stride ${stride} where ${frames} are needed`
        for (let i = 0; i < whole; i++) {
          const entry: Clip = { video, clip: first + i }
          found[at].push(entry)
          if (clipBytes * (decoded.size + 1) <= cacheBytes)
            decoded.set(entry, bytes.slice(i * clipBytes, (i + 1) * clipBytes))
        }
        if (whole < wanted) break
      }
      return undefined
    } catch (error) {
      // None of a broken video, rather than a part of it.
      found[at] = []
      if (error instanceof VqAbortError || (error instanceof VqError && !(error instanceof VqFormatError)))
        throw error
      return error instanceof VqFormatError ? error.received : decodeReason(error)
    } finally {
      onProgress?.(++done, videos.length)
    }
  })
  for (const [at, reason] of reasons.entries()) {
    if (reason === undefined) continue
    if (damaged === 'throw')
      throw new VqFormatError({
        operation: 'videoFolder',
        expected: `${videos[at].path} to be a video that can be used`,
        received: reason,
        remedy: "Repair or remove it, or pass damaged: 'skip'.",
      })
    skipped.push({ file: videos[at].path, reason })
  }
  const all = found.flat()
  if (all.length === 0)
    throw new VqConfigError({
      operation: 'videoFolder',
      expected: `videos, GIFs or folders of frames in ${root}`,
      received:
        skipped.length === 0
          ? 'an empty folder'
          : `none that can be used (${skipped[0].file}: ${skipped[0].reason})`,
      remedy: 'Check the path, or take fewer frames.',
    })
  for (const [i, clip] of all.entries()) {
    const bytes = decoded.get(clip)
    if (bytes !== undefined) cache.add(i, bytes)
  }
  decoded.clear()

  const readAgain = async (video: Video, clip: number): Promise<Uint8Array> => {
    const changed = (received: string, cause?: unknown): VqFormatError =>
      new VqFormatError({
        operation: 'videoFolder.batch',
        expected: `${video.path} to be as it was when the folder was opened`,
        received,
        remedy: 'Put the file back, or open the folder again.',
        cause,
      })
    const bytes = await read(video, clip * frames, frames).catch(error => {
      throw error instanceof VqError ? error : changed(decodeReason(error), error)
    })
    if (bytes.length !== clipBytes) throw changed('a shorter video')
    return bytes
  }

  const labels = all.map(({ video }) => video.path.slice(0, Math.max(0, video.path.lastIndexOf('/'))))
  const classes = [...new Set(labels)].sort((a, b) => (a < b ? -1 : 1))
  const labelIds = Int32Array.from(labels, label => classes.indexOf(label))
  return {
    folder: root,
    length: all.length,
    shape: [frames, size, size, 3],
    ids: all.map(({ video, clip }) => `${video.path}#${clip}`),
    labels,
    classes,
    skipped,
    batch: async indices => {
      expectIndices('videoFolder.batch', all, indices)
      const out = new Float32Array(indices.length * clipBytes)
      await mapBounded(indices, decodesAtOnce, async (i, n) => {
        const { video, clip } = all[i]
        const bytes = cache.get(i) ?? (await readAgain(video, clip))
        copyScaled(bytes, 0, out, n * clipBytes, clipBytes)
      })
      return out
    },
    ...(classes.length > 1 && {
      extras: (indices: Int32Array): Extras => {
        expectIndices('videoFolder.extras', labelIds, indices)
        return labelExtra(labelIds, indices)
      },
    }),
  }
}

interface Clip {
  video: Video
  clip: number
}
