import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { VqAbortError, VqConfigError, VqDeviceError, VqFormatError } from '@vq/core'
import { findFfmpeg, videoFolder } from '@vq/models/data'
import sharp from 'sharp'
import { afterEach, beforeAll, describe, expect, it, test, vi } from 'vitest'
import { keepsContract, realData, temporaryFolder, upTo } from './data-fixture.js'

const folder = temporaryFolder()
const place = (...parts: string[]): string => {
  const path = join(folder, ...parts)
  mkdirSync(dirname(path), { recursive: true })
  return path
}
afterEach(() => vi.unstubAllEnvs())

// Frame i is of the grey 10·i.
const frame = (i: number): ReturnType<typeof sharp> =>
  sharp({ create: { width: 12, height: 8, channels: 3, background: { r: 10 * i, g: 10 * i, b: 10 * i } } })
const greys = (clip: Float32Array, bytes: number): number[] =>
  Array.from({ length: clip.length / bytes }, (_, i) => Math.round(clip[i * bytes] * 255))

/**
 * A program that takes ffmpeg's arguments and gives frames of the greys 1, 2, … of a video of as many frames as the file says;
 * it writes when it begins and ends. What the file says after the number it does: fail, hang, or give more than was asked for.
 */
const program = `#!${process.execPath}
const fs = require('node:fs'), path = require('node:path')
const a = process.argv.slice(2), after = name => a[a.indexOf(name) + 1]
const file = after('-i').replace(/^file:/, '')
const log = path.join(path.dirname(process.argv[1]), 'log.txt')
const [frames, what] = fs.readFileSync(file, 'utf8').trim().split(' ')
const [, stride, from] = /mod\\(n,(\\d+)\\)\\)\\*gte\\(n,(\\d+)\\)/.exec(after('-vf')).map(Number)
const size = Number(/crop=(\\d+)/.exec(after('-vf'))[1])
fs.appendFileSync(log, 'begin ' + process.pid + ' ' + a.join(' ') + '\\n')
if (what === 'fail') { process.stderr.write('moov atom not found\\n'); process.exit(1) }
if (what === 'hang') setInterval(() => {}, 1000)
else setTimeout(() => {
  const out = []
  for (let n = from; n < Number(frames) && out.length < Number(after('-frames:v')); n++)
    if (n % stride === 0) out.push(Buffer.alloc(size * size * 3, n + 1))
  if (what === 'more') out.push(Buffer.alloc(1000))
  fs.appendFileSync(log, 'end\\n')
  process.stdout.write(Buffer.concat(out))
}, 20)
`
const fake = place('bin/ffmpeg')
const log = join(folder, 'bin/log.txt')
writeFileSync(fake, program, { mode: 0o755 })
const begun = (): string[] =>
  existsSync(log)
    ? readFileSync(log, 'utf8')
        .split('\n')
        .filter(l => l.startsWith('begin'))
    : []

beforeAll(async () => {
  // Named so that the order by code point would put 10 before 2.
  for (let i = 1; i <= 11; i++)
    await frame(i)
      .png()
      .toFile(place('frames/clip', `frame${i}.png`))
  for (let i = 1; i <= 3; i++)
    await frame(20 + i)
      .png()
      .toFile(place('frames/short', `${i}.png`))
  for (let i = 1; i <= 6; i++)
    await frame(i + 10)
      .png()
      .toFile(place('frames/other/deep', `${i}.png`))
  await frame(1).png().toFile(place('frames/stray.png'))
  const raws = await Promise.all(
    [1, 2, 3, 4, 5].map(i =>
      frame(2 * i)
        .raw()
        .toBuffer(),
    ),
  )
  await sharp(Buffer.concat(raws), { raw: { width: 12, height: 40, channels: 3, pageHeight: 8 } })
    .gif({ delay: [40, 40, 40, 40, 40] })
    .toFile(place('gifs/a.gif'))
  writeFileSync(place('gifs/bad.gif'), 'GIF89a')
  for (const [name, says] of [
    ['one.mp4', '20'],
    ['sub/two.MKV', '9'],
    ['sub/bad.avi', '9 fail'],
    ['short.webm', '2'],
  ])
    writeFileSync(place('videos', name), says)
  for (let i = 0; i < 8; i++) writeFileSync(place('many', `${i}.mp4`), '6')
})

describe('folders of frames', () => {
  const open = (options = {}) => videoFolder(join(folder, 'frames'), { frames: 4, size: 8, ...options })
  keepsContract('videoFolder of frames', { make: () => open(), range: [0, 1] })

  it('are clips in the natural order of their names, and say what was left out', async () => {
    const data = await open({ stride: 2 })
    expect(data.shape).toEqual([4, 8, 8, 3])
    expect(data.ids).toEqual(['clip#0'])
    expect(greys(await data.batch(upTo(1)), 192)).toEqual([10, 30, 50, 70])
    expect(Object.fromEntries(data.skipped.map(s => [s.file, s.reason]))).toEqual({
      'stray.png': 'an image outside of a folder of frames',
      short: '2 frames at stride 2 where 4 are needed',
      'other/deep': '3 frames at stride 2 where 4 are needed',
    })
  })

  it('give several clips each, decoded again where the cache is full, with their folders as classes', async () => {
    const data = await open({ clips: 3, cacheBytes: 0 })
    expect(data.ids).toEqual(['clip#0', 'clip#1', 'other/deep#0'])
    expect(data.classes).toEqual(['', 'other'])
    expect(greys(await data.batch(Int32Array.of(2, 1)), 192)).toEqual([110, 120, 130, 140, 50, 60, 70, 80])
    expect([...((await data.extras?.(upTo(3)))?.label.values ?? [])]).toEqual([0, 0, 1])
  })
})

describe('GIFs', () => {
  it('are decoded without ffmpeg', async () => {
    vi.stubEnv('PATH', '')
    const data = await videoFolder(join(folder, 'gifs'), { frames: 2, size: 8, stride: 2, cacheBytes: 0 })
    expect(data.ids).toEqual(['a.gif#0'])
    for (const [i, grey] of greys(await data.batch(upTo(1)), 192).entries())
      expect(Math.abs(grey - [20, 60][i])).toBeLessThan(4)
    expect(data.skipped.map(s => s.file)).toEqual(['bad.gif'])
    const later = await videoFolder(join(folder, 'gifs'), { frames: 2, size: 8, clips: 2 })
    for (const [i, grey] of greys(await later.batch(Int32Array.of(1)), 192).entries())
      expect(Math.abs(grey - [60, 80][i])).toBeLessThan(4)
  })
})

describe('video files', async () => {
  const open = (options = {}) =>
    videoFolder(join(folder, 'videos'), { frames: 4, size: 8, stride: 2, ffmpeg: fake, ...options })
  keepsContract('videoFolder of videos', { make: () => open(), range: [0, 1] })

  it('ask ffmpeg for every stride-th frame, and pass on its words where it fails', async () => {
    const data = await open({ clips: 3, cacheBytes: 0 })
    expect(data.ids).toEqual(['one.mp4#0', 'one.mp4#1', 'sub/two.MKV#0'])
    expect(greys(await data.batch(Int32Array.of(1, 2)), 192)).toEqual([9, 11, 13, 15, 1, 3, 5, 7])
    expect(data.skipped).toEqual([
      { file: 'short.webm', reason: '1 frames at stride 2 where 4 are needed' },
      { file: 'sub/bad.avi', reason: 'exit code 1: moov atom not found' },
    ])
    await expect(open({ damaged: 'throw' })).rejects.toThrow(VqFormatError)
    // Files and containers alone: no address, no playlist.
    expect(begun().every(l => /-protocol_whitelist file .*-i file:\//.test(l))).toBe(true)
  })

  it('are decoded by a bounded number of processes, also by several batches at once', async () => {
    const data = await videoFolder(join(folder, 'many'), {
      frames: 3,
      size: 8,
      ffmpeg: fake,
      decodesAtOnce: 3,
      cacheBytes: 0,
    })
    await Promise.all([upTo(8), upTo(8), upTo(4)].map(indices => data.batch(indices)))
    let [running, most] = [0, 0]
    for (const line of readFileSync(log, 'utf8').split('\n').slice(-56)) {
      if (line.startsWith('begin') && line.includes('/many/')) running++
      else if (line === 'end') running = Math.max(0, running - 1)
      most = Math.max(most, running)
    }
    expect(most).toBeGreaterThan(1)
    expect(most).toBeLessThanOrEqual(3)
  })

  it('end with their process on a signal, a time limit, or too much output', async () => {
    writeFileSync(place('hang/a.mp4'), '9 hang')
    const before = begun().length
    const controller = new AbortController()
    const opening = videoFolder(join(folder, 'hang'), { ffmpeg: fake, signal: controller.signal })
    const outcome = opening.catch(e => e)
    while (begun().length === before) await new Promise(resolve => setTimeout(resolve, 5))
    controller.abort()
    expect(await outcome).toBeInstanceOf(VqAbortError)
    const limited = { ffmpeg: fake, timeoutMs: 300, damaged: 'throw' } as const
    await expect(videoFolder(join(folder, 'hang'), limited)).rejects.toThrow(/within 300 ms/)
    for (const line of begun().slice(before)) {
      const id = Number(line.split(' ')[1])
      // No process of that number is left, or it is on its way out.
      expect(() => {
        process.kill(id, 0)
      }).toThrow(/ESRCH/)
    }
    writeFileSync(place('more/a.mp4'), '9 more')
    const wide = { ffmpeg: fake, frames: 4, size: 8, damaged: 'throw' } as const
    await expect(videoFolder(join(folder, 'more'), wide)).rejects.toThrow(/more than was asked for/)
  })

  it('want ffmpeg, and say how to get it', async () => {
    vi.stubEnv('PATH', join(folder, 'nowhere'))
    vi.stubEnv('VQ_FFMPEG', '')
    const error = await videoFolder(join(folder, 'videos')).catch(e => e)
    expect(error).toBeInstanceOf(VqDeviceError)
    expect(error.message).toMatch(/apt install ffmpeg/)
    await expect(open({ ffmpeg: join(folder, 'videos/one.mp4') })).rejects.toThrow(VqConfigError)
    vi.stubEnv('PATH', dirname(fake))
    expect(await findFfmpeg()).toBe(fake)
    vi.stubEnv('VQ_FFMPEG', '/bin/sh')
    expect(await findFfmpeg()).toBe('/bin/sh')
  })

  it('refuse folders without a video, and options out of range', async () => {
    mkdirSync(join(folder, 'empty'), { recursive: true })
    await expect(videoFolder(join(folder, 'empty'))).rejects.toThrow(/an empty folder/)
    await expect(videoFolder(join(folder, 'none'))).rejects.toThrow(VqConfigError)
    await expect(open({ frames: 0 })).rejects.toThrow(VqConfigError)
  })

  const real = join(realData, 'video/clips')
  const ffmpeg = await findFfmpeg().catch(() => undefined)
  test.skipIf(ffmpeg === undefined || !existsSync(real))(
    'are decoded by the real ffmpeg, frame for frame the same from any start (skipped where it or ../shared/data is absent)',
    async () => {
      const only = join(folder, 'real')
      mkdirSync(only, { recursive: true })
      for (const name of readdirSync(real).filter(n => /^(bikes|realshort)\.mp4$/.test(n)))
        writeFileSync(join(only, name), readFileSync(join(real, name)))
      const options = { frames: 4, size: 32, clips: 3 }
      const kept = await videoFolder(only, options)
      expect(kept.ids).toEqual([
        'bikes.mp4#0',
        'bikes.mp4#1',
        'bikes.mp4#2',
        'realshort.mp4#0',
        'realshort.mp4#1',
        'realshort.mp4#2',
      ])
      const again = await videoFolder(only, { ...options, cacheBytes: 0 })
      expect([...(await again.batch(upTo(6)))]).toEqual([...(await kept.batch(upTo(6)))])
      const sparse = await (await videoFolder(only, { frames: 4, size: 32, stride: 3 })).batch(upTo(1))
      const dense = await kept.batch(Int32Array.of(0, 1, 2))
      const bytes = 32 * 32 * 3
      for (let i = 0; i < 4; i++)
        expect([...sparse.subarray(i * bytes, (i + 1) * bytes)]).toEqual([
          ...dense.subarray(3 * i * bytes, (3 * i + 1) * bytes),
        ])
    },
  )
})
