import type { Random } from '@vq/core'
import { contrasting, namedColors } from './colors.js'
import { glyphs, polyline } from './strokes.js'

const lines: readonly (readonly (readonly Float64Array[])[])[] = glyphs.map(variants =>
  variants.map(glyph => glyph.map(polyline)),
)

/** What is drawn: digit, its colour, the background's. Numbers index `namedColors`. */
export interface Choice {
  digit: number
  ink: number
  paper: number
}

/** The first three draws from an item's generator. */
export function choose(random: Random): Choice {
  const digit = random.integer(10)
  const ink = random.integer(namedColors.length)
  const papers = contrasting[ink]!
  return { digit, ink, paper: papers[random.integer(papers.length)]! }
}

export function caption(choice: Choice): string {
  return `${namedColors[choice.ink]!.name} ${choice.digit} on ${namedColors[choice.paper]!.name}`
}

/**
 * Draws one image into `out` at `start`, `[size, size, 3]`, values k/255: a digit in one colour on another. `distance` is
 * scratch space of size² numbers.
 */
export function draw(
  random: Random,
  size: number,
  out: Float32Array,
  start: number,
  distance: Float32Array,
): void {
  const { digit, ink, paper } = choose(random)
  const coverage = drawStrokes(random, digit, size, distance)
  const front = namedColors[ink]!.rgb
  const back = namedColors[paper]!.rgb
  for (let p = 0; p < size * size; p++)
    for (let c = 0; c < 3; c++)
      out[start + 3 * p + c] = Math.round(back[c]! + (front[c]! - back[c]!) * coverage(p)) / 255
}

/** The same digit without its colours: white on black, `[size, size, 1]`, values k/255. */
export function drawGray(
  random: Random,
  size: number,
  out: Float32Array,
  start: number,
  distance: Float32Array,
): void {
  const coverage = drawStrokes(random, choose(random).digit, size, distance)
  for (let p = 0; p < size * size; p++) out[start + p] = Math.round(255 * coverage(p)) / 255
}

/**
 * How much of pixel p the strokes of a random variant cover, 0 to 1: slanted, turned, scaled, bent and shifted. Coverage is one
 * minus the pixel's distance beyond the stroke's edge, so edges are smooth.
 */
function drawStrokes(
  random: Random,
  digit: number,
  size: number,
  distance: Float32Array,
): (p: number) => number {
  const variants = lines[digit]!
  const variant = variants[random.integer(variants.length)]!
  const height = size * random.uniform(0.56, 0.76)
  const width = height * random.uniform(0.55, 0.8)
  const slant = random.uniform(-0.08, 0.32)
  const angle = random.uniform(-0.14, 0.14)
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)]
  const bendX = random.uniform(-0.06, 0.06)
  const bendY = random.uniform(-0.05, 0.05)
  const phase = random.uniform(0, 2 * Math.PI)
  const room = (size - height) / 2 - 1
  const centerX = size / 2 + random.uniform(-1, 1) * Math.min(room, size * 0.1)
  const centerY = size / 2 + random.uniform(-1, 1) * Math.min(room, size * 0.08)
  const radius = (size * random.uniform(0.066, 0.12)) / 2

  const transform = (px: number, py: number): [number, number] => {
    const u = px - 0.5 + bendX * Math.sin(2 * Math.PI * py + phase)
    const v = py - 0.5 + bendY * Math.sin(2 * Math.PI * px + phase)
    const x = u * width - v * slant * height
    const y = v * height
    return [centerX + x * cos - y * sin, centerY + x * sin + y * cos]
  }

  distance.fill(Number.POSITIVE_INFINITY)
  for (const line of variant) {
    let [ax, ay] = transform(line[0]!, line[1]!)
    for (let i = 2; i < line.length; i += 2) {
      const [bx, by] = transform(line[i]!, line[i + 1]!)
      addSegment(distance, size, ax, ay, bx, by, radius + 1)
      ax = bx
      ay = by
    }
  }

  return p => Math.min(1, Math.max(0, radius + 0.5 - Math.sqrt(distance[p]!)))
}

// Squared distance of each pixel centre near the segment, kept where it is the least so far.
function addSegment(
  distance: Float32Array,
  size: number,
  ax: number,
  ay: number,
  bx: number,
  by: number,
  reach: number,
): void {
  const [dx, dy] = [bx - ax, by - ay]
  const scale = 1 / Math.max(dx * dx + dy * dy, 1e-12)
  const x0 = Math.max(0, Math.floor(Math.min(ax, bx) - reach))
  const x1 = Math.min(size - 1, Math.ceil(Math.max(ax, bx) + reach))
  const y0 = Math.max(0, Math.floor(Math.min(ay, by) - reach))
  const y1 = Math.min(size - 1, Math.ceil(Math.max(ay, by) + reach))
  for (let y = y0; y <= y1; y++) {
    const py = y + 0.5 - ay
    for (let x = x0; x <= x1; x++) {
      const px = x + 0.5 - ax
      const t = Math.min(1, Math.max(0, (px * dx + py * dy) * scale))
      const ex = px - t * dx
      const ey = py - t * dy
      const d = ex * ex + ey * ey
      if (d < distance[y * size + x]!) distance[y * size + x] = d
    }
  }
}
