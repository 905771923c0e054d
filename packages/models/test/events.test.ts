// Event files against the bytes that TensorBoard's own code writes, a reader that shares nothing with the writer, and
// TensorBoard's reader where a Python has it.
import { execFileSync, spawnSync } from 'node:child_process'
import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { VqConfigError, VqFormatError } from '@vq/core'
import { EventFile } from '@vq/models/train'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { crc32c, maskedCrc32c } from '../src/train/events/crc32c.js'
import { startEvent, summaryEvent, versionEvent } from '../src/train/events/event.js'
import { frame, records } from '../src/train/events/record.js'
import { readScalars } from './event-reader.js'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'vq-events-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

const files = (): string[] => readdirSync(folder).sort().map(name => join(folder, name)) // biome-ignore format: short
const points = (): (readonly [number, string, number])[] =>
  files().flatMap(path => readScalars(readFileSync(path))).map(({ step, tag, value }) => [step, tag, value]) // biome-ignore format: short

const fixture = readFileSync(new URL('../../../test/oracle/events.tfevents', import.meta.url))
const png = Buffer.from(
  '89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63606060000000040001f61738550000000049454e44ae426082',
  'hex',
)

describe('event files', () => {
  it('have the checksums of RFC 3720 and of TensorFlow', () => {
    expect(crc32c(Buffer.from('123456789'))).toBe(0xe3069283)
    expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa)
    expect(crc32c(new Uint8Array(32).fill(255))).toBe(0x62a8ab43)
    expect(maskedCrc32c(Buffer.from('abc'))).toBe(569464686) // masked_crc32c of TensorBoard
  })

  it('are TensorBoard’s, byte by byte: scalars, images, histograms', () => {
    const now = 1700000000.25
    const values = Float32Array.of(-2, -0.5, 0, 0.25, 0.25, 3)
    const scalar = (tag: string, value: number) => ({ kind: 'scalar', tag, value }) as const
    const events = [
      versionEvent(now),
      startEvent(now, 7),
      summaryEvent(now, 7, [scalar('loss', 0.1), scalar('größe', Number.NaN)]),
      summaryEvent(now, 300, [{ kind: 'image', tag: 'picture', png, width: 1, height: 1 }]),
      summaryEvent(now, 70000, [{ kind: 'histogram', tag: 'weights', values }]),
    ]
    expect(Buffer.concat(events.map(frame)).equals(fixture)).toBe(true)
  })

  it('can be read up to any place where they are cut off or changed', () => {
    const ends = [...records(fixture)].map(r => r.end)
    expect(ends.at(-1)).toBe(fixture.length)
    fc.assert(
      fc.property(fc.nat(fixture.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const whole = ends.filter(end => end <= at).length
        expect([...records(fixture.subarray(0, at))].length).toBe(whole)
        const changed = Buffer.from(fixture)
        changed[at] = changed[at]! ^ flip
        expect([...records(changed)].length).toBe(whole)
      }),
    )
  })

  it('hold what was added, once each, however often the writer was stopped and cut back', async () => {
    const first = new EventFile(folder)
    for (let step = 1; step <= 9; step++) await first.scalars(step, { loss: step / 2, rate: -step })
    truncateSync(files()[0]!, readFileSync(files()[0]!).length - 3) // killed while it wrote step 9
    const second = new EventFile(folder)
    await second.cutBack(6)
    for (let step = 7; step <= 8; step++) await second.scalars(step, { loss: step / 2, rate: -step })
    appendFileSync(files()[1]!, 'torn')
    const third = new EventFile(folder)
    await third.cutBack(6) // what the second wrote is gone, and its file with it
    expect(files().length).toBe(1)
    for (let step = 7; step <= 12; step++) await third.scalars(step, { loss: step / 2, rate: -step })
    expect(points()).toEqual(
      Array.from({ length: 12 }, (_, i) => i + 1).flatMap(s => [
        [s, 'loss', s / 2],
        [s, 'rate', -s],
      ]),
    )
    const [one, two] = files()
    expect(one! < two!).toBe(true)
    await third.clear()
    expect(files()).toEqual([])
  })

  it('refuse images that are no PNG, and places that cannot be written to', async () => {
    const events = new EventFile(folder)
    const image = { png: Buffer.from('GIF89a'), width: 1, height: 1 }
    await expect(async () => events.image(1, 'x', image)).rejects.toThrow(VqConfigError)
    await expect(events.scalars(-1, { x: 1 })).rejects.toThrow(VqConfigError)
    appendFileSync(join(folder, 'file'), '')
    await expect(new EventFile(join(folder, 'file')).scalars(1, { x: 1 })).rejects.toThrow(VqFormatError)
  })
})

const python = process.env.VQ_PYTHON ?? 'python3'
const hasTensorBoard =
  spawnSync(python, ['-c', 'import tensorboard.backend.event_processing.event_accumulator']).status === 0
const program = `
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
run = EventAccumulator(sys.argv[1], size_guidance={'scalars': 0, 'images': 0, 'histograms': 0, 'tensors': 0})
run.Reload()
tags = run.Tags()
print(json.dumps({
  'scalars': {t: [[e.step, e.value] for e in run.Scalars(t)] for t in tags['scalars']},
  'images': {t: [[e.step, e.width, e.height, e.encoded_image_string.hex()] for e in run.Images(t)] for t in tags['images']},
  'histograms': {t: [[e.step, e.histogram_value.num, e.histogram_value.sum, sum(e.histogram_value.bucket)] for e in run.Histograms(t)] for t in tags['histograms']},
}))`

it.skipIf(!hasTensorBoard)(
  'TensorBoard reads them (skipped where no Python has tensorboard; VQ_PYTHON names one)',
  { timeout: 60_000 },
  async () => {
    const first = new EventFile(folder)
    for (const step of [1, 2, 3]) await first.scalars(step, { loss: step / 4 })
    const second = new EventFile(folder)
    await second.cutBack(2)
    for (const step of [3, 4]) await second.scalars(step, { loss: -step })
    await second.image(4, 'picture', { png, width: 1, height: 1 })
    await second.histogram(4, 'weights', Float32Array.of(0.5, -3, Number.NaN, 0.5))
    const read = JSON.parse(
      execFileSync(python, ['-c', program, folder], { encoding: 'utf8', stdio: 'pipe' }),
    )
    expect(read).toEqual({
      scalars: { loss: [[1, 0.25], [2, 0.5], [3, -3], [4, -4]] }, // biome-ignore format: one line
      images: { picture: [[4, 1, 1, png.toString('hex')]] },
      histograms: { weights: [[4, 3, -2, 3]] },
    })
  },
)
