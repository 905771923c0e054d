import { principalComponents } from './project.js'

/**
 * A colour [r, g, b] in 0..1 per code. With its codebook [K, dim], codes that lie near each other have like colours: their three
 * principal components are lightness and the two colour axes of OKLab. Without it, colours are far apart between neighbours.
 * Source of OKLab: Ottosson 2020, https://bottosson.github.io/posts/oklab/.
 */
export function codeColors(size: number, codebook?: Float32Array): [number, number, number][] {
  if (codebook === undefined || size < 3)
    return Array.from({ length: size }, (_, k) => {
      // Golden angles go round the hues evenly; four lightnesses tell codes apart for who does not see hues.
      const [hue, lightness] = [k * 2.399963, [0.5, 0.78, 0.64, 0.9][k % 4]]
      return rgbOf(lightness, 0.13 * Math.cos(hue), 0.13 * Math.sin(hue))
    })
  const { points } = principalComponents('codeColors', codebook, codebook.length / size, 3)
  const place = Array.from({ length: 3 }, (_, c) => {
    // By rank, so that an outlier does not leave the others alike.
    const order = Array.from({ length: size }, (_, k) => k).sort(
      (a, b) => points[3 * a + c] - points[3 * b + c],
    )
    const rank = new Float64Array(size)
    for (const [r, k] of order.entries()) rank[k] = r / (size - 1)
    return rank
  })
  return Array.from({ length: size }, (_, k) =>
    rgbOf(0.35 + 0.6 * place[0][k], 0.24 * (place[1][k] - 0.5), 0.24 * (place[2][k] - 0.5)),
  )
}

function rgbOf(lightness: number, a: number, b: number): [number, number, number] {
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3
  const linear = [
    4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
    -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
    -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
  ]
  return linear.map(v => {
    const within = Math.min(1, Math.max(0, v))
    return within <= 0.0031308 ? 12.92 * within : 1.055 * within ** (1 / 2.4) - 0.055
  }) as [number, number, number]
}
