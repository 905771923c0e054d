import type { IdAnalysis } from '../analysis/index.js'
import { count, figure, type Html, html, percent } from './html.js'
import type { ReportInput } from './input.js'
import { barOf } from './tables.js'

interface Card {
  name: string
  value: string
  /** One sentence that says what it means. */
  meaning: string
  /** 0 … 1 */
  bar?: number
}

/** The figures that say most, each with what it means. */
export function keyFigures(input: ReportInput): Html {
  const { analysis, skipped } = input
  const cards = [
    itemsCard(analysis, skipped?.count ?? 0),
    ...codeCards(analysis, analysis.positions === 1 ? input.codebooks?.dim : undefined),
    ...fidelityCards(analysis),
    ...labelCards(analysis),
    ...recallCards(input),
  ]
  return html`<ul class="cards">${cards.map(
    ({ name, value, meaning, bar }) =>
      html`<li><h3>${name}</h3><p class="value">${value}</p>${bar !== undefined && barOf(bar, 'gauge')}<p>${meaning}</p></li>\n`,
  )}</ul>`
}

function itemsCard({ items, positions, levels }: IdAnalysis, skipped: number): Card {
  const each = positions === 1 ? `${levels.length}` : `${count(positions)} × ${levels.length}`
  const left = skipped === 0 ? '' : ` ${count(skipped)} more could not be read and were skipped.`
  return {
    name: 'Items',
    value: count(items),
    meaning: `Each became ${each} code${each === '1' ? '' : 's'}: its semantic ID.${left}`,
  }
}

function codeCards({ ids, items, levels, bits }: IdAnalysis, dim: number | undefined): Card[] {
  const used = levels.reduce((sum, level) => sum + level.uniqueTokens, 0)
  const all = levels.reduce((sum, level) => sum + level.size, 0)
  const even = levels.map(level => level.entropy / Math.log2(level.size)).filter(Number.isFinite)
  const evenness = even.length === 0 ? 1 : even.reduce((a, b) => a + b, 0) / even.length
  const dead = all - used
  const shared = ids.collisions.items
  const sharing = `${count(shared)} ${shared === 1 ? 'shares' : 'share'} it with others, at most ${count(ids.collisions.largest)} at a time.`
  return [
    {
      name: 'Items with an ID of their own',
      value: percent(1 - ids.collisions.rate),
      meaning:
        shared === 0
          ? `No two of the ${count(items)} items share an ID.`
          : `${count(ids.unique)} different IDs. ${sharing}`,
      bar: 1 - ids.collisions.rate,
    },
    {
      name: 'Codes in use',
      value: percent(used / all),
      meaning:
        dead === 0
          ? `All ${count(all)} codes occur.`
          : `${count(used)} of ${count(all)} occur; the other ${count(dead)} say nothing.`,
      bar: used / all,
    },
    {
      name: 'Evenness',
      value: percent(evenness),
      meaning: `Entropy as a share of the most there could be. At 100 % every code is used equally; level 1 is as varied as ${figure(levels[0].perplexity)} equal codes out of ${count(levels[0].size)}.`,
      bar: evenness,
    },
    {
      name: 'Bits of an item',
      value: figure(bits.nominal, 4),
      meaning: `As stored. By how often codes occur, ${figure(bits.entropy)} would do.${
        dim === undefined ? '' : ` As ${count(dim)} float32 numbers an embedding takes ${count(32 * dim)}.`
      }`,
    },
  ]
}

function fidelityCards({ fidelity }: IdAnalysis): Card[] {
  if (fidelity === undefined) return []
  const { explained, cosine, neighbors } = fidelity
  const cards: Card[] = [
    {
      name: 'Variance kept',
      value: percent(explained),
      meaning: `How much of the embeddings’ variety their codes decode to. 0 % would be the mean alone. Cosine ${figure(cosine)}.`,
      bar: explained,
    },
  ]
  if (Number.isFinite(neighbors.jaccard))
    cards.push({
      name: 'Neighbours kept',
      value: percent(neighbors.jaccard),
      meaning: `How far the ${neighbors.k} nearest items by codes are those by embedding (overlap of the two sets, ${count(neighbors.sampled)} items; chance ${percent(neighbors.chance)}).`,
      bar: neighbors.jaccard,
    })
  return cards
}

function labelCards({ labels }: IdAnalysis): Card[] {
  if (labels === undefined) return []
  const { levels, knn, classes } = labels
  const cards: Card[] = [
    {
      name: 'Agreement with labels',
      value: figure(levels[0].nmi),
      meaning: `How much the first code and the ${count(classes.length)} labels tell about each other (normalised mutual information): 0 is nothing, 1 is all.`,
      bar: levels[0].nmi,
    },
  ]
  const accuracy = knn?.decoded ?? knn?.embeddings
  if (knn !== undefined && accuracy !== undefined) {
    const other =
      knn.decoded !== undefined && knn.embeddings !== undefined
        ? ` From the embeddings themselves ${percent(knn.embeddings)}.`
        : ''
    cards.push({
      name: `Labels named by ${knn.k} neighbours`,
      value: percent(accuracy),
      meaning: `From ${knn.decoded !== undefined ? 'codes alone' : 'embeddings'}.${other} Always naming the commonest label: ${percent(knn.majority)}.`,
      bar: accuracy,
    })
  }
  return cards
}

function recallCards({ recall }: ReportInput): Card[] {
  const first = recall?.[0]
  const best = first?.result.recall.find(({ k }) => k === 10) ?? first?.result.recall[0]
  if (first === undefined || best === undefined) return []
  return [
    {
      name: `Recall@${best.k} by ${first.name}`,
      value: percent((best.aToB + best.bToA) / 2),
      meaning: `How often the right partner is among the first ${best.k} of ${count(first.result.pairs)}, from ${first.from} to ${first.to} and back. Guessing: ${percent(best.chance)}.`,
      bar: (best.aToB + best.bToA) / 2,
    },
  ]
}
