import { appendFile, mkdir, readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { expectConfig, expectInteger } from '@vq/core'
import { writeFileAtomic } from '@vq/core/io'
import { leftBy } from '../checkpoint/leftovers.js'
import { writing } from '../writing.js'
import { readEvent, type Summary, startEvent, summaryEvent, versionEvent } from './event.js'
import { frame, records } from './record.js'

const pattern = /^events\.out\.tfevents\.(\d+)\.vq$/

/**
 * Writes a folder of TensorBoard event files: `tensorboard --logdir` shows it as one run. Every start of a program makes a
 * file of its own; the file appears with the first event.
 *
 * @example
 * const events = new EventFile('runs/digits/events')
 * await events.scalars(1, { loss: 0.5 })
 * await events.image(1, 'samples', { png, width: 320, height: 64 })
 */
export class EventFile {
  readonly folder: string
  private path: string | undefined
  private start: number | undefined

  constructor(folder: string) {
    this.folder = folder
  }

  /** A point on the curve of each name. */
  scalars(step: number, values: Readonly<Record<string, number>>): Promise<void> {
    return this.add(
      step,
      Object.entries(values).map(([tag, value]) => ({ kind: 'scalar', tag, value })),
    )
  }

  /** How values are distributed; NaN and infinities are left out. */
  histogram(step: number, tag: string, values: Float32Array): Promise<void> {
    return this.add(step, [{ kind: 'histogram', tag, values }])
  }

  image(step: number, tag: string, image: { png: Uint8Array; width: number; height: number }): Promise<void> {
    const { png, width, height } = image
    expectInteger('EventFile.image', 'width', width, 1)
    expectInteger('EventFile.image', 'height', height, 1)
    const signature = [0x89, 0x50, 0x4e, 0x47]
    const ok = signature.every((byte, i) => png[i] === byte)
    expectConfig(ok, 'EventFile.image', 'the bytes of a PNG file', png, 'Encode the image as PNG first.')
    return this.add(step, [{ kind: 'image', tag, png, width, height }])
  }

  private async add(step: number, summaries: readonly Summary[]): Promise<void> {
    expectInteger('EventFile', 'step', step, 0)
    if (summaries.length === 0) return
    const now = Date.now() / 1000
    const events = [summaryEvent(now, step, summaries)]
    if (this.path === undefined) {
      if (this.start !== undefined) events.unshift(startEvent(now, this.start))
      events.unshift(versionEvent(now))
    }
    await writing(this.folder, async () => {
      this.path ??= await newPath(this.folder, Math.floor(now))
      await appendFile(this.path, Buffer.concat(events.map(frame)))
    })
  }

  /**
   * Drops what earlier files hold after step `step`, and what a crash left half written; a file that holds no more is
   * removed. Readers that have it open learn of it by the file written next.
   */
  async cutBack(step: number): Promise<void> {
    this.start = step + 1
    for (const path of await leftBy(this.folder, pattern)) await rm(path, { force: true })
    for (const name of await namesIn(this.folder)) {
      const path = join(this.folder, name)
      const file = await readFile(path)
      const kept: Uint8Array[] = []
      let [begin, shown] = [0, 0]
      for (const { data, end } of records(file)) {
        const { step: at, shows } = readEvent(data)
        if (at <= step) {
          kept.push(file.subarray(begin, end))
          if (shows) shown++
        }
        begin = end
      }
      const whole = Buffer.concat(kept)
      if (shown === 0) await writing(path, () => rm(path))
      else if (whole.length < file.length) await writeFileAtomic(path, whole)
    }
  }

  /** Removes all event files of the folder. */
  async clear(): Promise<void> {
    for (const name of await namesIn(this.folder)) await rm(join(this.folder, name), { force: true })
  }
}

async function namesIn(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch(() => [] as string[])
  return names.filter(name => pattern.test(name)).sort()
}

// Readers go through a folder's files by name, so each one's number is above the last.
async function newPath(folder: string, seconds: number): Promise<string> {
  await mkdir(folder, { recursive: true })
  const last = Math.max(0, ...(await namesIn(folder)).map(name => Number(pattern.exec(name)![1])))
  return join(folder, `events.out.tfevents.${Math.max(seconds, last + 1)}.vq`)
}
