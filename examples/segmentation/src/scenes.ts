// Pictures of shapes with the class of every pixel.
import { Random } from '@vq/core'
import { ArrayDataset } from '@vq/models/data'

export const shapeClasses = ['background', 'disc', 'square', 'triangle'] as const

/** Images [size, size, 3], values 0 to 1, with the extra `mask` [N, size, size]: the number of the pixel's class. */
export function drawScenes(options: { count: number; size: number; seed: number }): ArrayDataset {
  const { count, size, seed } = options
  const images = new Float32Array(count * size * size * 3)
  const masks = new Int32Array(count * size * size)
  const random = new Random(seed)
  const color = (): number[] => [random.uniform(), random.uniform(), random.uniform()]
  for (let n = 0; n < count; n++) {
    const [light, dark] = [color(), color()]
    const [angle, width] = [random.uniform(0, Math.PI), random.uniform(0.2, 0.6)]
    const shapes = Array.from({ length: 1 + random.integer(3) }, () => ({
      kind: 1 + random.integer(3),
      x: random.uniform(0.15, 0.85) * size,
      y: random.uniform(0.15, 0.85) * size,
      radius: random.uniform(0.12, 0.25) * size,
      turn: random.uniform(0, 2 * Math.PI),
      color: color(),
    }))
    for (let y = 0; y < size; y++)
      for (let x = 0; x < size; x++) {
        const stripe = 0.5 + 0.5 * Math.sin(width * (x * Math.cos(angle) + y * Math.sin(angle)))
        let [kind, paint] = [0, light.map((v, c) => v * stripe + (dark[c] as number) * (1 - stripe))]
        for (const shape of shapes) if (covers(shape, x, y)) [kind, paint] = [shape.kind, shape.color]
        const p = (n * size + y) * size + x
        masks[p] = kind
        for (let c = 0; c < 3; c++)
          images[3 * p + c] = Math.min(1, Math.max(0, (paint[c] as number) + 0.05 * random.normal()))
      }
  }
  return new ArrayDataset(images, [size, size, 3], { mask: { values: masks, shape: [count, size, size] } })
}

interface Shape {
  kind: number
  x: number
  y: number
  radius: number
  turn: number
}

function covers({ kind, x, y, radius, turn }: Shape, px: number, py: number): boolean {
  const [cos, sin] = [Math.cos(turn), Math.sin(turn)]
  const u = (cos * (px - x) + sin * (py - y)) / radius
  const v = (-sin * (px - x) + cos * (py - y)) / radius
  if (kind === 1) return u * u + v * v < 1
  if (kind === 2) return Math.abs(u) < 0.85 && Math.abs(v) < 0.85
  // An equilateral triangle: its three sides are half as far from the middle as its corners.
  return [0, 1, 2].every(
    side => Math.cos((2 * side * Math.PI) / 3) * u + Math.sin((2 * side * Math.PI) / 3) * v < 0.6,
  )
}
