// The one door to ffmpeg: a program of its own, so that a broken video ends it and nothing else.
import { spawn } from 'node:child_process'
import { constants } from 'node:fs'
import { access, stat } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { VqAbortError, VqConfigError, VqDeviceError, VqFormatError } from '@vq/core'

export interface FrameRequest {
  /** Of a frame in pixels. */
  size: readonly [height: number, width: number]
  /** Every `stride`-th frame from the first one on. */
  stride: number
  /** How many of them to leave out first. */
  skip: number
  /** How many to give at most. */
  count: number
  /** Milliseconds after which the program is ended. */
  timeoutMs: number
  signal?: AbortSignal | undefined
}

/**
 * Where ffmpeg is: `given`, else the environment variable VQ_FFMPEG, else on the PATH, else in the npm packages ffmpeg-static or
 * @ffmpeg-installer/ffmpeg. Throws VqConfigError where the given one cannot be run, VqDeviceError where there is none.
 */
export async function findFfmpeg(given?: string): Promise<string> {
  const named = given ?? (process.env.VQ_FFMPEG || undefined)
  if (named !== undefined) {
    if (await canRun(named)) return named
    throw new VqConfigError({
      operation: 'videoFolder',
      expected: `ffmpeg at ${named}`,
      received: 'no file that can be run',
      remedy: 'Pass its path as `ffmpeg` or in VQ_FFMPEG.',
    })
  }
  const name = process.platform === 'win32' ? 'ffmpeg.exe' : 'ffmpeg'
  const onPath = (process.env.PATH ?? '').split(delimiter).filter(Boolean)
  for (const folder of onPath) if (await canRun(join(folder, name))) return join(folder, name)
  for (const packaged of ['ffmpeg-static', '@ffmpeg-installer/ffmpeg']) {
    const path = await pathFrom(packaged)
    if (path !== undefined && (await canRun(path))) return path
  }
  throw new VqDeviceError({
    operation: 'videoFolder',
    expected: 'the program ffmpeg, which decodes video files',
    received: 'none on the PATH, in VQ_FFMPEG, or in an npm package',
    remedy:
      'Install it (apt install ffmpeg, brew install ffmpeg, or npm install @ffmpeg-installer/ffmpeg) or pass its path as `ffmpeg`. GIF files and folders of frames need none.',
  })
}

async function canRun(path: string): Promise<boolean> {
  if (!(await stat(path).catch(() => undefined))?.isFile()) return false
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  )
}

async function pathFrom(name: string): Promise<string | undefined> {
  try {
    const found = (await import(name)) as { default?: string | { path?: string }; path?: string }
    return typeof found.default === 'string' ? found.default : (found.default?.path ?? found.path)
  } catch {
    return undefined
  }
}

// Containers alone: a playlist named .mp4 could otherwise make ffmpeg open other files and addresses.
const formats =
  'mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,flv,asf,mpeg,mpegts,mpegvideo,ogg,gif,m4v,h264,hevc,ivf,rawvideo'
const mostErrorText = 4000

/**
 * Frames of a video as RGB bytes, one after another, each [height, width, 3], scaled to cover the frame and cropped in the centre.
 * Fewer where it ends before. Throws VqFormatError with ffmpeg's words where it fails, VqAbortError on a signal.
 */
export function readFrames(ffmpeg: string, file: string, request: FrameRequest): Promise<Uint8Array> {
  const { size, stride, skip, count, timeoutMs, signal } = request
  const [height, width] = size
  const frameBytes = height * width * 3
  const filters = [
    `select='not(mod(n,${stride}))*gte(n,${skip * stride})'`,
    `scale=${width}:${height}:force_original_aspect_ratio=increase:flags=area`,
    `crop=${width}:${height}`,
    // Evenly spaced times at the rate of the output: no frame is doubled or dropped.
    'setpts=N/25/TB',
  ]
  const options = [
    ...['-nostdin', '-hide_banner', '-loglevel', 'error'],
    ...['-protocol_whitelist', 'file', '-format_whitelist', formats, '-threads', '1'],
    ...['-i', `file:${file}`, '-map', '0:v:0', '-an', '-sn', '-dn'],
    ...['-vf', filters.join(','), '-r', '25', '-frames:v', String(count)],
    ...['-f', 'rawvideo', '-pix_fmt', 'rgb24', 'pipe:1'],
  ]
  return new Promise((resolve, reject) => {
    const out = new Uint8Array(count * frameBytes)
    let have = 0
    let said = ''
    let ended = ''
    const child = spawn(ffmpeg, options, { stdio: ['ignore', 'pipe', 'pipe'], windowsHide: true })
    const end = (why: string): void => {
      ended ||= why
      child.kill('SIGKILL')
    }
    const abort = (): void => end('abort')
    const timer = setTimeout(() => end(`nothing finished within ${timeoutMs} ms`), timeoutMs)
    signal?.addEventListener('abort', abort, { once: true })
    if (signal?.aborted) abort()
    child.stdout.on('data', (bytes: Buffer) => {
      if (have + bytes.length > out.length) end('more than was asked for')
      else out.set(bytes, have)
      have += bytes.length
    })
    child.stderr.on('data', (bytes: Buffer) => {
      said = (said + bytes.toString('utf8')).slice(-mostErrorText)
    })
    const done = (failure: string | undefined): void => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', abort)
      const reason = ended || failure || (have % frameBytes === 0 ? undefined : 'a part of a frame')
      if (ended === 'abort') reject(new VqAbortError('videoFolder', signal?.reason))
      else if (reason === undefined) resolve(out.subarray(0, have))
      else
        reject(
          new VqFormatError({
            operation: `decoding ${file}`,
            expected: 'a video that ffmpeg can decode',
            received: reason,
            remedy: 'Repair or remove the file, or convert it to MP4 (H.264).',
          }),
        )
    }
    let failed: string | undefined
    child.on('error', error => {
      failed = error.message
      // Nothing closes where nothing was begun.
      if (child.pid === undefined) done(failed)
    })
    child.on('close', (code, killed) => {
      if (child.pid === undefined) return
      const words = said.trim().split('\n').slice(-3).join('; ')
      done(code === 0 ? failed : `${killed ?? `exit code ${code}`}${words === '' ? '' : `: ${words}`}`)
    })
  })
}
