// How people write the digits 0–9: each variant is a list of strokes through points in a unit box, x to the right and
// y downwards. A stroke is a smooth curve (Catmull–Rom) through its points, or straight lines where it says so.

export interface Stroke {
  points: readonly (readonly [number, number])[]
  closed?: boolean
  straight?: boolean
}
export type Glyph = readonly Stroke[]

const curve = (...points: [number, number][]): Stroke => ({ points })
const loop = (...points: [number, number][]): Stroke => ({ points, closed: true })
const lines = (...points: [number, number][]): Stroke => ({ points, straight: true })

const oval = (cx: number, cy: number, rx: number, ry: number): Stroke =>
  loop(
    ...Array.from({ length: 8 }, (_, i): [number, number] => [
      cx + rx * Math.sin((i * Math.PI) / 4),
      cy - ry * Math.cos((i * Math.PI) / 4),
    ]),
  )

/** Variants per digit. */
export const glyphs: readonly (readonly Glyph[])[] = [
  // 0: round, narrow, and one that is not quite closed
  [
    [oval(0.5, 0.5, 0.36, 0.5)],
    [oval(0.5, 0.5, 0.26, 0.5)],
    [
      curve(
        [0.62, 0.04],
        [0.38, 0.02],
        [0.16, 0.3],
        [0.16, 0.68],
        [0.4, 0.98],
        [0.7, 0.9],
        [0.84, 0.55],
        [0.76, 0.18],
        [0.5, 0.06],
      ),
    ],
  ],
  // 1: a stroke, a stroke with a flag, and one with flag and base
  [
    [lines([0.5, 0], [0.5, 1])],
    [lines([0.26, 0.24], [0.54, 0], [0.54, 1])],
    [lines([0.26, 0.22], [0.52, 0], [0.52, 1]), lines([0.24, 1], [0.8, 1])],
  ],
  // 2: plain, with a loop at the foot, and angular
  [
    [
      curve([0.16, 0.26], [0.26, 0.06], [0.52, 0], [0.78, 0.12], [0.78, 0.38], [0.52, 0.66], [0.14, 1]),
      lines([0.14, 1], [0.86, 1]),
    ],
    [
      curve(
        [0.18, 0.22],
        [0.4, 0.01],
        [0.72, 0.1],
        [0.76, 0.38],
        [0.52, 0.7],
        [0.24, 0.96],
        [0.12, 0.86],
        [0.28, 0.78],
        [0.54, 0.94],
        [0.88, 0.96],
      ),
    ],
    [
      curve([0.14, 0.16], [0.44, 0], [0.78, 0.1], [0.8, 0.34], [0.6, 0.56]),
      lines([0.6, 0.56], [0.16, 1], [0.84, 1]),
    ],
  ],
  // 3: two bows, and a flat top
  [
    [
      curve([0.18, 0.14], [0.44, 0], [0.74, 0.1], [0.74, 0.36], [0.44, 0.47]),
      curve([0.44, 0.47], [0.78, 0.58], [0.82, 0.84], [0.5, 1], [0.14, 0.86]),
    ],
    [
      lines([0.18, 0.02], [0.78, 0.02], [0.42, 0.42]),
      curve([0.42, 0.42], [0.76, 0.5], [0.82, 0.8], [0.52, 1], [0.16, 0.88]),
    ],
  ],
  // 4: open, closed, and with a short stem
  [
    [lines([0.28, 0], [0.14, 0.56], [0.88, 0.56]), lines([0.68, 0.2], [0.66, 1])],
    [lines([0.9, 0.7], [0.1, 0.7], [0.66, 0], [0.66, 1])],
    [curve([0.22, 0], [0.18, 0.34], [0.3, 0.52], [0.74, 0.48]), lines([0.76, 0], [0.72, 1])],
  ],
  // 5: with a bar, and in one sweep
  [
    [
      lines([0.8, 0.02], [0.28, 0.02], [0.24, 0.42]),
      curve([0.24, 0.42], [0.54, 0.34], [0.82, 0.54], [0.76, 0.86], [0.44, 1], [0.14, 0.88]),
    ],
    [
      curve(
        [0.82, 0.04],
        [0.46, 0.04],
        [0.3, 0.1],
        [0.24, 0.42],
        [0.58, 0.4],
        [0.8, 0.62],
        [0.7, 0.92],
        [0.38, 1],
        [0.16, 0.9],
      ),
    ],
  ],
  // 6: bowed and steep
  [
    [
      curve(
        [0.74, 0.04],
        [0.42, 0.16],
        [0.2, 0.5],
        [0.2, 0.82],
        [0.48, 1],
        [0.78, 0.88],
        [0.8, 0.62],
        [0.54, 0.48],
        [0.24, 0.62],
      ),
    ],
    [
      curve(
        [0.5, 0],
        [0.28, 0.38],
        [0.2, 0.74],
        [0.36, 0.98],
        [0.7, 0.94],
        [0.78, 0.68],
        [0.54, 0.54],
        [0.26, 0.68],
      ),
    ],
  ],
  // 7: plain, crossed, and with a hook
  [
    [lines([0.14, 0.02], [0.84, 0.02], [0.4, 1])],
    [lines([0.16, 0.02], [0.84, 0.02], [0.4, 1]), lines([0.34, 0.5], [0.78, 0.5])],
    [
      lines([0.16, 0.18], [0.18, 0.03], [0.84, 0.03]),
      curve([0.84, 0.03], [0.6, 0.4], [0.48, 0.7], [0.44, 1]),
    ],
  ],
  // 8: two ovals, and one crossing line
  [
    [oval(0.5, 0.24, 0.26, 0.24), oval(0.5, 0.74, 0.33, 0.26)],
    [
      loop(
        [0.74, 0.14],
        [0.5, 0],
        [0.26, 0.14],
        [0.34, 0.38],
        [0.64, 0.58],
        [0.8, 0.82],
        [0.5, 1],
        [0.2, 0.82],
        [0.36, 0.58],
        [0.66, 0.38],
      ),
    ],
  ],
  // 9: straight stem, and a bowed tail
  [
    [oval(0.48, 0.28, 0.3, 0.28), curve([0.78, 0.26], [0.76, 0.6], [0.68, 1])],
    [
      curve(
        [0.78, 0.24],
        [0.54, 0.01],
        [0.24, 0.12],
        [0.22, 0.4],
        [0.5, 0.54],
        [0.74, 0.38],
        [0.79, 0.22],
        [0.76, 0.66],
        [0.56, 0.96],
        [0.24, 0.92],
      ),
    ],
  ],
]

const piecesPerSpan = 5

/** A stroke as a polyline: x and y by turns. */
export function polyline(stroke: Stroke): Float64Array {
  const { points, closed = false, straight = false } = stroke
  if (straight) return Float64Array.from(points.flat())
  const n = points.length
  const at = (i: number): readonly [number, number] =>
    points[closed ? (i + n) % n : Math.min(Math.max(i, 0), n - 1)]!
  const out: number[] = []
  const spans = closed ? n : n - 1
  for (let span = 0; span < spans; span++) {
    const [a, b, c, d] = [at(span - 1), at(span), at(span + 1), at(span + 2)]
    for (let piece = 0; piece < piecesPerSpan; piece++) {
      const t = piece / piecesPerSpan
      out.push(catmullRom(a[0], b[0], c[0], d[0], t), catmullRom(a[1], b[1], c[1], d[1], t))
    }
  }
  out.push(...at(spans))
  return Float64Array.from(out)
}

function catmullRom(a: number, b: number, c: number, d: number, t: number): number {
  return b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))
}
