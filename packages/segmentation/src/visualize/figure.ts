import type { Dataset } from '@vq/models/data'
import { type Figure, imageGrid } from '@vq/models/plot'
import type { SqueezeModule } from '../model/squeeze-module.js'
import { type ImageResult, predictions } from './per-image.js'

// Colours that people with any colour vision tell apart (Okabe and Ito 2008); the second, mostly the background, is darkened.
const palette = [
  [230, 159, 0],
  [0, 0, 0],
  [86, 180, 233],
  [0, 158, 115],
  [240, 228, 66],
  [204, 121, 167],
  [0, 114, 178],
  [213, 94, 0],
] as const
const names = ['orange', 'dark', 'light blue', 'green', 'yellow', 'pink', 'blue', 'red']

/** One row per image: input, truth, baseline, squeezed, with their IoU. */
export async function resultsFigure(
  results: readonly ImageResult[],
  data: Dataset,
  models: { baseline: SqueezeModule; squeezed: SqueezeModule },
  { title, classes }: { title: string; classes: readonly string[] },
): Promise<Figure> {
  const [height, width] = data.shape as [number, number, number]
  const rows = []
  let ignored = false
  for (const { index, id, baseline, squeezed } of results) {
    const at = Int32Array.of(index)
    const image = await data.batch(at)
    const mask = (await data.extras!(at)).mask!.values as Int32Array
    const shape = [1, height, width, 3]
    ignored ||= mask.some(own => own < 0)
    const maps = [
      mask,
      predictions(models.baseline, image, shape),
      predictions(models.squeezed, image, shape),
    ]
    const images = new Float32Array(image.length * 4)
    images.set(image)
    for (const [n, map] of maps.entries()) images.set(painted(image, map), (n + 1) * image.length)
    rows.push({
      label: id,
      images,
      captions: ['', '', `IoU ${baseline.toFixed(3)}`, `IoU ${squeezed.toFixed(3)}`],
    })
  }
  const legend = classes.map((name, c) => `${name} ${names[c % names.length]}`).join(', ')
  return imageGrid(rows, {
    shape: [4, height, width, 3],
    columns: 4,
    columnLabels: ['input', 'truth', 'baseline', 'VQ'],
    title,
    subtitle: `${legend}${ignored ? '; grey counts nowhere' : ''}. IoU: mean over the classes of the image`,
  })
}

function painted(image: Float32Array, map: Int32Array): Float32Array {
  return image.map((value, i) => {
    const own = map[Math.floor(i / 3)]!
    const color = own < 0 ? 0.5 : palette[own % palette.length]![i % 3]! / 255
    return 0.35 * value + 0.65 * color
  })
}
