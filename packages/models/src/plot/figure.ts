import { writeFile } from 'node:fs/promises'
import { extname } from 'node:path'
import { VqConfigError } from '@vq/core'
import { svgToPng } from '../image/sharp.js'

/** A finished picture. */
export interface Figure {
  readonly svg: string
  /** As PNG; `scale` pixels per SVG unit, default 2. */
  png(scale?: number): Promise<Buffer>
  /** Writes the file as its name says, .svg or .png. */
  save(file: string): Promise<void>
}

export function figure(svg: string): Figure {
  const png = (scale = 2): Promise<Buffer> => svgToPng(svg, scale)
  return {
    svg,
    png,
    async save(file) {
      const kind = extname(file).toLowerCase()
      if (kind !== '.svg' && kind !== '.png')
        throw new VqConfigError({
          operation: 'Figure.save',
          expected: 'a name that ends in .svg or .png',
          received: file,
          remedy: 'Rename the file.',
        })
      await writeFile(file, kind === '.svg' ? svg : await png())
    },
  }
}
