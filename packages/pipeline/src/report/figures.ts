import {
  codebookProjection,
  codebookUsage,
  convergence,
  type Figure,
  sensitivity,
  trainingCurves,
} from '@vq/models/plot'
import type { IdAnalysis } from '../analysis/index.js'
import { type Html, html, raw } from './html.js'
import type { ReportInput } from './input.js'

/** Larger codebooks make figures of megabytes in which no bar can be seen. */
const [mostBars, mostDots] = [1024, 2048]
/** Levels that get figures of their own. */
const mostLevels = 8

/** A figure inside the page. Its own ids would meet those of other figures; what it says in words is the caption. */
export function inline({ svg }: Figure, caption: string, name: string): Html {
  const own = svg
    .replace(/ (?:role|aria-[a-z]+)="[^"]*"/g, '')
    .replace(/\bid="([^"]*)"/g, `id="${name}-$1"`)
    .replace(/url\(#([^)]*)\)/g, `url(#${name}-$1)`)
    // Where things lie, to a hundredth of a pixel; numbers that are read keep their digits.
    .replace(/<[^>]*>/g, tag => tag.replace(/(\.\d{2})\d+/g, '$1'))
    .replace(/^<svg /, '<svg role="img" aria-label="" ')
  const labelled = own.replace('aria-label=""', html`aria-label="${caption}"`.html)
  return html`<figure class="plot">${raw(labelled)}<figcaption>${caption}</figcaption></figure>`
}

export async function usageFigures({ levels }: IdAnalysis): Promise<Html[]> {
  const drawn: Html[] = []
  for (const { level, size, chosen, uniqueTokens, perplexity } of levels.slice(0, mostLevels)) {
    if (size > mostBars || uniqueTokens === 0) continue
    const counts = new Float64Array(size)
    for (const [i, code] of chosen.codes.entries()) counts[code] = chosen.counts[i]
    const figure = await codebookUsage(counts, { title: `Level ${level + 1}`, width: 440, height: 190 })
    const caption = `How often each of the ${size} codes of level ${level + 1} occurs: ${uniqueTokens} do, as if ${perplexity.toFixed(0)} were used equally.`
    drawn.push(inline(figure, caption, `usage${level}`))
  }
  return drawn
}

export async function projectionFigures(
  { levels }: IdAnalysis,
  codebooks: NonNullable<ReportInput['codebooks']>,
): Promise<Html[]> {
  const drawn: Html[] = []
  const { values, dim } = codebooks
  for (const [l, codebook] of values.slice(0, mostLevels).entries()) {
    const size = codebook.length / dim
    const level = levels[l]
    if (size > mostDots || level === undefined || level.size !== size) continue
    const counts = new Float64Array(size)
    for (const [i, code] of level.chosen.codes.entries()) counts[code] = level.chosen.counts[i]
    const figure = await codebookProjection(codebook, {
      dim,
      counts,
      title: `Codebook of level ${l + 1}`,
      width: 440,
      height: 360,
    })
    const caption = `The ${size} codes of level ${l + 1} along their two main directions. A dot is larger where its code occurs more often.`
    drawn.push(inline(figure, caption, `codebook${l}`))
  }
  return drawn
}

/** What `trainingCurves` draws of a step, in one figure. */
const curves = [
  ...['loss', 'reconstructionLoss', 'vqLoss', 'rqLoss', 'klLoss', 'perplexity', 'psnr'],
  ...['validationLoss', 'validationPsnr'],
]
/** Figures of other things that were measured. */
const mostOthers = 4

/** Training curves, and a figure each of what else was measured at two steps or more. */
export async function trainingFigures(metrics: NonNullable<ReportInput['metrics']>): Promise<Html[]> {
  const lines = metrics as readonly Readonly<Record<string, unknown>>[]
  const has = (name: string): boolean => lines.some(line => Number.isFinite(line[name]))
  const drawn: Html[] = []
  if (curves.some(has)) {
    const caption = 'How training went: losses and, where measured, quality and codes in use by step.'
    drawn.push(inline(await trainingCurves(metrics, { title: 'Training' }), caption, 'training'))
  }
  const clocks = new Set(['step', 'epoch', 'seconds', 'time', 'split', ...curves])
  const others = [...new Set(lines.flatMap(line => Object.keys(line)))].filter(name => !clocks.has(name))
  for (const metric of others) {
    if (drawn.length > mostOthers) break
    const runs = ['train', 'validation'].map(split => ({
      name: split === 'train' ? 'training' : 'held out',
      points: lines
        .filter(line => (line.split ?? 'train') === split && Number.isFinite(line[metric]))
        .map(line => ({ step: line.step as number, value: line[metric] as number })),
    }))
    const measured = runs.filter(({ points }) => points.length > 1)
    if (measured.length === 0) continue
    const figure = await convergence(measured, { metric, scale: 'linear', title: metric })
    drawn.push(inline(figure, `${metric} by training step.`, `training${drawn.length}`))
  }
  return drawn
}

export async function rateFigure({ points, bits, error }: NonNullable<ReportInput['rates']>): Promise<Html> {
  const [parameter, result] = [bits ?? 'bits of an item', error ?? 'mean squared error']
  const figure = await sensitivity(
    points.map(point => ({ value: point.bits, result: point.error, series: point.name ?? '' })),
    { parameter, result, scale: 'linear', title: 'Size against error' },
  )
  return inline(figure, `What more bits buy: ${result} by ${parameter}.`, 'rate')
}
