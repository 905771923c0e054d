import type { TopLevelSpec } from 'vega-lite'
import { type Figure, figure } from './figure.js'
import { textWidth, wrapText } from './text.js'
import { theme } from './theme.js'

/** Compiles a Vega-Lite chart in the common theme to SVG. Loads Vega on first use: it is large. */
export async function renderChart(spec: TopLevelSpec): Promise<Figure> {
  const [vega, { compile }] = await Promise.all([import('vega'), import('vega-lite')])
  const compiled = compile({ ...withinWidth(spec), config: theme }).spec
  const view = new vega.View(vega.parse(compiled), { renderer: 'none', logLevel: vega.Error })
  try {
    return figure(await view.toSVG())
  } finally {
    view.finalize()
  }
}

/** Width of charts that do not say theirs: of those of several panels. */
const usual = 640

// What Vega reserves for a title, without a canvas to measure it on, and what it takes.
const reserved = (text: string, size: number): number =>
  Math.max(0.8 * size * text.length, textWidth(text, size))

// Titles about as wide as the chart, not the chart as wide as its title.
function withinWidth(spec: TopLevelSpec): TopLevelSpec {
  const { title, width } = spec as { title?: Title; width?: unknown }
  if (title === undefined) return spec
  const across = 1.15 * Math.max(typeof width === 'number' ? width : usual, 420)
  const lines = (text: string | readonly string[], size: number): string[] =>
    [text].flat().flatMap(line => wrapText(line, across, size, reserved))
  const { text, subtitle } = title
  const wrapped = {
    ...title,
    text: lines(text, 17),
    ...(subtitle !== undefined && { subtitle: lines(subtitle, 12) }),
  }
  return { ...spec, title: wrapped } as TopLevelSpec
}

interface Title {
  text: string
  subtitle?: string | readonly string[]
}

/** A title of an axis `length` units long, in lines that fit. */
export function axisTitle(text: string, length: number): string | string[] {
  const lines = wrapText(text, 1.15 * length, 12, reserved)
  return lines.length > 1 ? lines : text
}
