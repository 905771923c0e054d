import { codebookProjection, codebookUsage, type Figure, sensitivity, trainingCurves } from '@vq/models/plot'
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
    .replace(/(\.\d{2})\d+/g, '$1')
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

export async function trainingFigure(metrics: NonNullable<ReportInput['metrics']>): Promise<Html> {
  const caption = 'How training went: losses and, where measured, quality and codes in use by step.'
  return inline(await trainingCurves(metrics, { title: 'Training' }), caption, 'training')
}

export async function rateFigure({ points, bits, error }: NonNullable<ReportInput['rates']>): Promise<Html> {
  const [parameter, result] = [bits ?? 'bits of an item', error ?? 'mean squared error']
  const figure = await sensitivity(
    points.map(point => ({ value: point.bits, result: point.error, series: point.name ?? '' })),
    { parameter, result, scale: 'linear', title: 'Size against error' },
  )
  return inline(figure, `What more bits buy: ${result} by ${parameter}.`, 'rate')
}
