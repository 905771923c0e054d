import sharp from 'sharp'

/** One image of values 0 to 1 as PNG, or the middle frame of a video; shape [H, W, C] or [T, H, W, C]. */
export async function pictureOf(values: Float32Array, shape: readonly number[]): Promise<Uint8Array> {
  const [height, width, channels] = shape.slice(-3) as [number, number, 1 | 3]
  const size = height * width * channels
  const frames = shape.length === 4 ? (shape[0] as number) : 1
  const from = Math.floor(frames / 2) * size
  const raw = Uint8Array.from(values.subarray(from, from + size), v =>
    Math.round(255 * Math.min(1, Math.max(0, v))),
  )
  return await sharp(raw, { raw: { width, height, channels } }).png().toBuffer()
}
