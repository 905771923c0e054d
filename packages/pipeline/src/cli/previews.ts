import type { Preview } from '../report/index.js'
import type { Source } from '../sources/index.js'
import { pictureOf } from './picture.js'

/** Shows items in a report: pictures as they were encoded, the middle frame of videos, texts, or captions. */
export function previewer(
  source: Source | undefined,
  places: ReadonlyMap<string, number> | undefined,
  captions: readonly (string | undefined)[],
): ((row: number, id: string) => Promise<Preview | undefined>) | undefined {
  const hasCaptions = captions.some(c => c !== undefined)
  if (source === undefined && !hasCaptions) return undefined
  return async (row, id) => {
    const caption = captions[row]
    const asText: Preview | undefined = caption === undefined ? undefined : { kind: 'text', text: caption }
    const index = places?.get(id)
    if (source === undefined || index === undefined || source.modality === 'vector') return asText
    const { values, failed } = await source.read([index])
    if (failed.length > 0) return asText
    if (source.modality === 'text') return { kind: 'text', text: (values as string[])[0] ?? '' }
    const bytes = await pictureOf(values as Float32Array, source.shape)
    return { kind: 'image', bytes, type: 'image/png', ...(caption !== undefined && { caption }) }
  }
}
