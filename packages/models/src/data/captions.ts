import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { VqConfigError } from '@vq/core'
import { damaged } from './files/places.js'
import { readCsv } from './text/csv.js'
import { decodeUtf8 } from './text/utf8.js'

/** Where captions come from: 'txt' beside each image, or the path of a CSV file. */
export type Captions = 'txt' | (string & {})

const longest = 1 << 20
const fileColumns = ['file', 'filename', 'file_name', 'image', 'path']
const captionColumns = ['caption', 'text', 'description']

/**
 * What gives the caption of a file by its path relative to `root`, undefined where it has none; undefined without `captions`.
 * Throws VqConfigError for a CSV file without the columns, VqFormatError for one that names a file twice or is not UTF-8.
 */
export async function captionsOf(
  root: string,
  captions: Captions | undefined,
): Promise<((file: string) => Promise<string | undefined>) | undefined> {
  if (captions === undefined) return undefined
  if (captions === 'txt') return file => captionBeside(join(root, file.replace(/\.[^.]*$/, '.txt')))
  const { columns, rows } = await readCsv(captions, { header: true })
  const column = (names: readonly string[]): number => {
    const at = columns.findIndex(name => names.includes(name.trim().toLowerCase()))
    if (at >= 0) return at
    throw new VqConfigError({
      operation: `captions of ${captions}`,
      expected: `a column ${names.join(' or ')}`,
      received: columns.join(', ').slice(0, 200),
      remedy: 'Name the columns in the first line.',
    })
  }
  const [at, caption] = [column(fileColumns), column(captionColumns)]
  const found = new Map<string, string>()
  for (const row of rows) {
    const file = row[at].replaceAll('\\', '/').replace(/^\.\//, '')
    if (found.has(file)) throw damaged(captions, 'captions', 'one caption for each file', `two for ${file}`)
    found.set(file, row[caption].trim())
  }
  return async file => found.get(file)
}

async function captionBeside(path: string): Promise<string | undefined> {
  const bytes = await readFile(path).catch(() => undefined)
  if (bytes === undefined || bytes.length > longest) return undefined
  return decodeUtf8(bytes, path).trim()
}
