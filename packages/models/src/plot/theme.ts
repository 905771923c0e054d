import type { Config } from 'vega-lite'
import { fontStack } from '../image/sharp.js'

/** Okabe and Ito's colours, which colour-blind readers can tell apart. https://jfly.uni-koeln.de/color/ */
export const palette: Record<'blue' | 'orange' | 'green' | 'purple' | 'grey', string> = {
  blue: '#0072b2',
  orange: '#d55e00',
  green: '#009e73',
  purple: '#aa5b93',
  grey: '#8a8f98',
}

/** Colours of classes, after Okabe and Ito and Paul Tol's muted scheme, https://personal.sron.nl/~pault/. */
export const categories: readonly string[] = [
  ...['#0072b2', '#d55e00', '#009e73', '#aa5b93', '#e69f00'],
  ...['#56b4e9', '#882255', '#8a8f98', '#999933', '#332288'],
]

/** Shapes of classes, which tell where colours do not. */
export const shapes: readonly string[] = [
  'circle',
  'square',
  'triangle-up',
  'diamond',
  'cross',
  'triangle-down',
  'triangle-right',
]

export const ink: Record<'title' | 'text' | 'axis' | 'grid', string> = {
  title: '#1b1f24',
  text: '#434a54',
  axis: '#9aa1ab',
  grid: '#e9ecef',
}

const text = { labelFont: fontStack, titleFont: fontStack, titleFontWeight: 'normal' as const }

/** Vega-Lite's configuration of every chart. One weight only, since one font is shipped. */
export const theme: Config = {
  background: '#ffffff',
  font: fontStack,
  padding: 18,
  view: { stroke: null },
  title: {
    font: fontStack,
    fontSize: 17,
    fontWeight: 'normal',
    color: ink.title,
    subtitleFont: fontStack,
    subtitleFontSize: 12,
    subtitleColor: ink.text,
    subtitlePadding: 6,
    anchor: 'start',
    offset: 14,
  },
  axis: {
    ...text,
    labelFontSize: 11,
    titleFontSize: 12,
    labelColor: ink.text,
    titleColor: ink.text,
    domainColor: ink.axis,
    tickColor: ink.axis,
    gridColor: ink.grid,
    titlePadding: 9,
    labelPadding: 5,
  },
  axisX: { grid: false },
  axisY: { domain: false, ticks: false },
  legend: {
    ...text,
    labelFontSize: 12,
    titleFontSize: 12,
    labelColor: ink.text,
    symbolType: 'stroke',
    symbolStrokeWidth: 3,
    symbolSize: 260,
    symbolOpacity: 1,
    columnPadding: 18,
    labelLimit: 320,
  },
}

/** The axis of training steps, which are whole. */
export const stepAxis: object = {
  field: 'step',
  type: 'quantitative',
  title: 'training step',
  scale: { nice: false, domainMin: 0 },
  axis: { tickMinStep: 1, format: ',d' },
}

/** `1 code`, `2 codes`. */
export function counted(n: number, what: string): string {
  return `${n.toLocaleString('en-US')} ${what}${n === 1 ? '' : 's'}`
}
