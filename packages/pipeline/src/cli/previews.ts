import sharp from 'sharp'
import type { Preview } from '../report/index.js'
import type { Source } from '../sources/index.js'

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
    const [height, width, channels] = source.shape.slice(-3) as [number, number, 1 | 3]
    const size = height * width * channels
    const frames = source.shape.length === 4 ? (source.shape[0] as number) : 1
    const from = Math.floor(frames / 2) * size
    const raw = Uint8Array.from((values as Float32Array).subarray(from, from + size), v =>
      Math.round(255 * v),
    )
    const bytes = await sharp(raw, { raw: { width, height, channels } }).png().toBuffer()
    return { kind: 'image', bytes, type: 'image/png', ...(caption !== undefined && { caption }) }
  }
}
