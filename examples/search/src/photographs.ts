// Landscapes that are drawn, and copies of some as they come about: cut, brightened, darkened, saved as poor JPEGs.
import { join } from 'node:path'
import { Random } from '@vq/core'
import { writeFileAtomic } from '@vq/core/io'
import sharp, { type Sharp } from 'sharp'

const [width, height] = [160, 120]

/** `copied` of the `scenes` get four copies each: `0007-original.jpg`, `0007-crop.jpg` and so on. */
export async function drawPhotographs(
  folder: string,
  { scenes, copied }: { scenes: number; copied: number },
): Promise<void> {
  const random = new Random(0)
  for (let scene = 0; scene < scenes; scene++) {
    random.seed(1, scene)
    const drawn = await sharp(Buffer.from(landscape(random)))
      .png()
      .toBuffer()
    const write = async (name: string, image: Sharp, quality = 90): Promise<void> =>
      writeFileAtomic(
        join(folder, `${String(scene).padStart(4, '0')}-${name}.jpg`),
        await image.jpeg({ quality }).toBuffer(),
      )
    await write('original', sharp(drawn))
    if (scene >= copied) continue
    const [cutX, cutY] = [random.uniform(0.05, 0.15) * width, random.uniform(0.05, 0.15) * height].map(
      Math.round,
    ) as [number, number]
    await write(
      'crop',
      sharp(drawn).extract({ left: cutX, top: cutY, width: width - 2 * cutX, height: height - 2 * cutY }),
    )
    await write('bright', sharp(drawn).modulate({ brightness: random.uniform(1.15, 1.35) }))
    await write('dark', sharp(drawn).modulate({ brightness: random.uniform(0.65, 0.85), saturation: 0.8 }))
    await write('poor', sharp(drawn).resize(width / 2), 20)
  }
}

/** A sky, perhaps a sun, hills behind one another, trees and houses. */
function landscape(random: Random): string {
  const color = (hue: number, saturation: number, lightness: number): string =>
    `hsl(${hue.toFixed(0)},${saturation.toFixed(0)}%,${lightness.toFixed(0)}%)`
  const sky = random.uniform(180, 250) + (random.uniform() < 0.3 ? 160 : 0)
  const horizon = random.uniform(0.35, 0.7) * height
  const shapes = [
    `<defs><linearGradient id="sky" x2="0" y2="1"><stop stop-color="${color(sky, 60, random.uniform(30, 60))}"/><stop offset="1" stop-color="${color(sky + 20, 60, random.uniform(65, 90))}"/></linearGradient></defs>`,
    `<rect width="${width}" height="${height}" fill="url(#sky)"/>`,
  ]
  if (random.uniform() < 0.6)
    shapes.push(
      `<circle cx="${random.uniform(0.1, 0.9) * width}" cy="${random.uniform(0.1, 0.9) * horizon}" r="${random.uniform(5, 14)}" fill="${color(random.uniform(35, 60), 90, 75)}"/>`,
    )
  const ground = random.uniform(60, 150)
  const hills = 2 + random.integer(3)
  for (let hill = 0; hill < hills; hill++) {
    const base = horizon + (hill * (height - horizon)) / hills
    const points = Array.from(
      { length: 7 },
      (_, i) => `${(i * width) / 6},${base - random.uniform(-4, 26) * (1 - hill / hills)}`,
    )
    shapes.push(
      `<polygon points="0,${height} ${points.join(' ')} ${width},${height}" fill="${color(ground + random.uniform(-15, 15), 45, 60 - (hill * 40) / hills)}"/>`,
    )
  }
  for (let things = random.integer(6); things > 0; things--) {
    const [x, y] = [random.uniform(0.05, 0.9) * width, random.uniform(0.65, 0.9) * height]
    const s = random.uniform(8, 22)
    shapes.push(
      random.uniform() < 0.6
        ? `<rect x="${x - 1}" y="${y - s / 2}" width="2.5" height="${s / 2}" fill="#5a3a1e"/><circle cx="${x}" cy="${y - s * 0.8}" r="${s * 0.45}" fill="${color(ground, 50, random.uniform(18, 34))}"/>`
        : `<rect x="${x}" y="${y - s * 0.6}" width="${s}" height="${s * 0.6}" fill="${color(random.uniform(0, 50), 40, 80)}"/><polygon points="${x - 1},${y - s * 0.6} ${x + s / 2},${y - s} ${x + s + 1},${y - s * 0.6}" fill="${color(random.uniform(0, 30), 60, 40)}"/>`,
    )
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">${shapes.join('')}</svg>`
}
