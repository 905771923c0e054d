import type { TopLevelSpec } from 'vega-lite'
import { type Figure, figure } from './figure.js'
import { theme } from './theme.js'

/** Compiles a Vega-Lite chart in the common theme to SVG. Loads Vega on first use: it is large. */
export async function renderChart(spec: TopLevelSpec): Promise<Figure> {
  const [vega, { compile }] = await Promise.all([import('vega'), import('vega-lite')])
  const compiled = compile({ ...spec, config: theme }).spec
  const view = new vega.View(vega.parse(compiled), { renderer: 'none', logLevel: vega.Error })
  try {
    return figure(await view.toSVG())
  } finally {
    view.finalize()
  }
}
