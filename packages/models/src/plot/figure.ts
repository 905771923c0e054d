import { extname } from 'node:path'
import { expectNumber, VqConfigError } from '@vq/core'
import { writeFileAtomic } from '@vq/core/io'
import { svgToPng } from '../image/sharp.js'

/** A finished picture. */
export interface Figure {
  readonly svg: string
  /** As PNG; `scale` pixels per SVG unit, 0.1 to 50, default 2. Throws VqConfigError for others. */
  png(scale?: number): Promise<Buffer>
  /** Writes the file as its name says, .svg or .png, whole or not at all; folders that are missing are made. */
  save(file: string): Promise<void>
}

export function figure(drawn: string): Figure {
  const svg = printable(drawn)
  const png = async (scale = 2): Promise<Buffer> => {
    expectNumber('Figure.png', 'scale', scale, 0.1, 50)
    return svgToPng(svg, scale)
  }
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
      await writeFileAtomic(file, kind === '.svg' ? svg : await png())
    },
  }
}

// XML has no control characters and no halves of letters: names of files, and so labels, may.
function printable(svg: string): string {
  return svg.replace(/[\p{Cc}\p{Cs}\ufffe\uffff]/gu, c => (c === '\n' || c === '\t' ? c : '\ufffd'))
}
