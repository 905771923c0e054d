import { extname } from 'node:path'
import { expectNumber, expectShape, VqConfigError } from '@vq/core'
import { writeFileAtomic } from '@vq/core/io'
import { loadSharp } from '../image/sharp.js'
import type { Figure } from './figure.js'

/** Pictures one after another. */
export interface Animation {
  readonly frames: readonly Figure[]
  /** As an animated image; `scale` pixels per SVG unit, default 1. */
  render(kind: 'gif' | 'webp', scale?: number): Promise<Buffer>
  /** Writes the file as its name says: .gif or .webp. */
  save(file: string): Promise<void>
}

/** Shows each frame for so many milliseconds, the last one five times as long, and begins again. */
export function animation(frames: readonly Figure[], delay = 250): Animation {
  expectShape(frames.length > 0, 'animation', 'at least one frame', 'none', 'Take snapshots while training.')
  expectNumber('animation', 'delay', delay, 20, 60_000)
  const render = async (kind: 'gif' | 'webp', scale = 1): Promise<Buffer> => {
    const sharp = await loadSharp()
    const pictures: Buffer[] = []
    for (const frame of frames) pictures.push(await frame.png(scale))
    const delays = frames.map((_, i) => (i === frames.length - 1 ? 5 * delay : delay))
    if (frames.length === 1) return sharp(pictures[0])[kind]().toBuffer()
    const joined = sharp(pictures, { join: { animated: true } })
    return kind === 'gif'
      ? joined.gif({ delay: delays, loop: 0 }).toBuffer()
      : joined.webp({ delay: delays, loop: 0, quality: 90 }).toBuffer()
  }
  return {
    frames,
    render,
    async save(file) {
      const kind = extname(file).toLowerCase()
      if (kind !== '.gif' && kind !== '.webp')
        throw new VqConfigError({
          operation: 'Animation.save',
          expected: 'a name that ends in .gif or .webp',
          received: file,
          remedy: 'Rename the file.',
        })
      await writeFileAtomic(file, await render(kind === '.gif' ? 'gif' : 'webp'))
    },
  }
}
