// Small images with masks that a program draws: a bright square on a dark ground, with a border around it.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Random } from '@vq/core'
import { loadSharp } from '@vq/models/readers'

interface Drawn {
  image: Uint8Array
  /** 1 square, 2 ground, 3 border. */
  trimap: Uint8Array
}

const sharp = await loadSharp()
const [width, height] = [40, 36]

function draw(number: number): Drawn {
  const random = new Random(7, number)
  const side = 10 + random.integer(10)
  const [top, left] = [4 + random.integer(height - side - 8), 4 + random.integer(width - side - 8)]
  const image = new Uint8Array(width * height * 3)
  const trimap = new Uint8Array(width * height).fill(2)
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const away = Math.max(top - y, y - (top + side - 1), left - x, x - (left + side - 1))
      const at = y * width + x
      if (away <= 0) trimap[at] = 1
      else if (away <= 2) trimap[at] = 3
      const base = away <= 0 ? [210, 160, 60] : [40, 70, 110]
      for (let c = 0; c < 3; c++) image[3 * at + c] = base[c]! + random.integer(40)
    }
  return { image, trimap }
}

const save = (path: string, data: Uint8Array, channels: 1 | 3): Promise<unknown> =>
  sharp(data, { raw: { width, height, channels } }).toFile(path)

/** Laid out as Oxford-IIIT Pet with an index.csv. */
export async function writePets(folder: string, count: number): Promise<void> {
  for (const name of ['images', 'trimaps']) mkdirSync(join(folder, name), { recursive: true })
  const rows = ['image_id,breed']
  for (let i = 0; i < count; i++) {
    const { image, trimap } = draw(i)
    await save(join(folder, `images/square_${i}.jpg`), image, 3)
    await grey(join(folder, `trimaps/square_${i}.png`), trimap)
    rows.push(`square_${i},square`)
  }
  writeFileSync(join(folder, 'index.csv'), `${rows.join('\n')}\n`)
}

/** A folder of images and masks: 0 ground, 1 square, 255 border. */
export async function writeMasks(folder: string, count: number, classes: string): Promise<void> {
  for (const name of ['images', 'masks']) mkdirSync(join(folder, name), { recursive: true })
  for (let i = 0; i < count; i++) {
    const { image, trimap } = draw(i)
    const mask = trimap.map(v => [1, 0, 255][v - 1]!)
    await save(join(folder, `images/i${i}.png`), image, 3)
    await grey(join(folder, `masks/i${i}.png`), mask)
  }
  if (classes !== '') writeFileSync(join(folder, 'classes.txt'), classes)
}

export async function grey(
  path: string,
  data: Uint8Array,
  size: [number, number] = [width, height],
): Promise<void> {
  await sharp(data, { raw: { width: size[0], height: size[1], channels: 1 } })
    .toColourspace('b-w')
    .png()
    .toFile(path)
}
