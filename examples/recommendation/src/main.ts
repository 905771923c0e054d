// Recommendation by semantic IDs: from the IDs of what somebody chose, a small transformer writes the ID of what comes next.
// `npm start`, or `npm start -- --quick`.
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { Random, random, tf } from '@vq/core'
import { IGPT } from '@vq/igpt'
import { ArrayDataset, DataLoader } from '@vq/models/data'
import {
  convergence,
  type Figure,
  latentScatter,
  type Run,
  type SensitivityPoint,
  sensitivity,
} from '@vq/models/plot'
import { Trainer } from '@vq/models/train'
import { CodeIndex, disambiguate } from '@vq/pipeline'
import { RQKMeans } from '@vq/quantizers'

const { values } = parseArgs({ options: { quick: { type: 'boolean' }, out: { type: 'string' } } })
const { quick, out = fileURLToPath(new URL('../out', import.meta.url)) } = values
const save = async (name: string, figure: Promise<Figure>): Promise<void> =>
  (await figure).save(join(out, name))
const generator = new Random(1)

// --- 1. A shop and its customers ---------------------------------------------------------------------------------
// Items belong to 80 kinds in 8 departments. Their embeddings, as a text or image encoder would give them, show kind and department with
// noise. Somebody who chose an item stays with its kind, or drifts to the next kind, or does something else. Every tenth item is new:
// nobody has chosen it yet in the histories that are learned from.

const [departments, kindsEach, items, dim] = [8, 10, quick ? 400 : 2000, 32]
const kinds = departments * kindsEach
const gaussian = (n: number): Float32Array => generator.fillNormal(new Float32Array(n))
const [departmentAt, kindAt] = [gaussian(departments * dim), gaussian(kinds * dim)]
const kindOf = Int32Array.from({ length: items }, () => generator.integer(kinds))
const departmentOf = kindOf.map(kind => Math.floor(kind / kindsEach))
const noise = gaussian(items * dim)
const embeddings = noise.map((v, i) => {
  const [item, axis] = [Math.floor(i / dim), i % dim]
  return (
    1.5 * (departmentAt[(departmentOf[item] as number) * dim + axis] as number) +
    (kindAt[(kindOf[item] as number) * dim + axis] as number) +
    0.4 * v
  )
})
const isNew = Array.from({ length: items }, (_, item) => item % 10 === 0)
const byKind = Array.from({ length: kinds }, (_, kind) =>
  Array.from(kindOf.keys()).filter(item => kindOf[item] === kind),
)

const [users, length] = [quick ? 300 : 4000, 8]
// The last of a history is what is to be foretold; there new items occur as well.
function history(): Int32Array {
  const chosen: number[] = []
  let kind = generator.integer(kinds)
  while (chosen.length < length) {
    const turn = generator.uniform()
    if (turn > 0.9) kind = generator.integer(kinds)
    else if (turn > 0.5) kind = kind - (kind % kindsEach) + ((kind + 1) % kindsEach)
    const candidates = (byKind[kind] as number[]).filter(
      item => !chosen.includes(item) && (chosen.length === length - 1 || !isNew[item]),
    )
    if (candidates.length === 0) kind = generator.integer(kinds)
    // The first of a kind are chosen most: a skewed popularity.
    else chosen.push(candidates[Math.floor(candidates.length * generator.uniform() ** 1.5)] as number)
  }
  return Int32Array.from(chosen)
}
const histories = Array.from({ length: users }, history)
const tested = histories.slice(0, quick ? 30 : 500)
const seen = histories.map(items => items.subarray(0, length - 1))

// --- 2. Semantic IDs ---------------------------------------------------------------------------------------------
// Residual k-means gives each embedding three codes of 16; a last number tells apart items with the same three. TIGER,
// https://arxiv.org/abs/2305.05065, does so with an RQ-VAE. Beside it the same IDs dealt out at random: they name items, and mean nothing.

const codesEach = 16
const rq = await new RQKMeans({ nClusters: codesEach, nStages: 3, dim, randomState: 0 }).fit(embeddings)
const codes = rq.getCodes(embeddings)
const semantic = disambiguate(
  Array.from({ length: items }, (_, i) => ({ id: String(i), codes: codes.subarray(3 * i, 3 * i + 3) })),
).map(({ codes }) => codes)
const dealt = Array.from({ length: items }, (_, i) => i)
for (let i = items - 1; i > 0; i--) {
  const j = generator.integer(i + 1)
  ;[dealt[i], dealt[j]] = [dealt[j] as number, dealt[i] as number]
}
const atRandom = dealt.map(i => semantic[i] as Int32Array)
const levels = 4
const lastSize = 1 + Math.max(...semantic.map(codes => codes[3] as number))
const bits = (3 * Math.log2(codesEach) + Math.log2(lastSize)).toFixed(1)
console.log(
  `${items} items, IDs of ${levels} codes (${bits} bits); up to ${lastSize} items share the first three`,
)

await save(
  'items.png',
  latentScatter(embeddings, {
    dim,
    labels: Array.from(departmentOf, d => String(d + 1)),
    title: 'The embeddings of the items, by department',
  }),
)
const alike: SensitivityPoint[] = []
for (let shared = 0; shared <= 3; shared++) {
  const [same, of] = [{ department: 0, kind: 0 }, { pairs: 0 }]
  for (let a = 0; a < items; a += quick ? 4 : 2)
    for (let b = a + 1; b < items; b++) {
      let common = 0
      while (common < 3 && semantic[a]?.[common] === semantic[b]?.[common]) common++
      if (common !== shared) continue
      of.pairs++
      if (departmentOf[a] === departmentOf[b]) same.department++
      if (kindOf[a] === kindOf[b]) same.kind++
    }
  for (const [series, count] of Object.entries(same))
    alike.push({ series: `same ${series}`, value: shared, result: (100 * count) / Math.max(1, of.pairs) })
}
await save(
  'prefixes.png',
  sensitivity(alike, {
    parameter: 'codes that two items share from the first on',
    result: 'pairs of items (%)',
    scale: 'linear',
    title: 'What a shared beginning of IDs says of two items',
  }),
)

// --- 3. A transformer over IDs -----------------------------------------------------------------------------------
// Every level has tokens of its own. A history is a sequence of 1 + 7·4 tokens, and each token is learned from those before it.

const firsts = [0, codesEach, 2 * codesEach, 3 * codesEach]
const bos = 3 * codesEach + lastSize
const tokensOf = (ids: Int32Array[], items: Int32Array): number[] => [
  bos,
  ...Array.from(items).flatMap(item =>
    Array.from(ids[item] as Int32Array, (code, l) => (firsts[l] as number) + code),
  ),
]
const curves: Run[] = []

async function learned(name: string, ids: Int32Array[]): Promise<IGPT> {
  random.seed(0)
  const model = new IGPT({
    vocabSize: bos + 1,
    contextLength: 1 + length * levels,
    dModel: 64,
    nHeads: 4,
    nLayers: 2,
  })
  const rows = (of: Int32Array[]): ArrayDataset<Int32Array> =>
    new ArrayDataset(Int32Array.from(of.flatMap(items => tokensOf(ids, items))), [1 + (length - 1) * levels])
  const steps = quick ? 60 : 900
  const { metrics } = await new Trainer({
    steps,
    learningRate: 3e-3,
    schedule: 'cosine',
    warmupSteps: steps / 20,
    progress: false,
    logEvery: steps / 30,
  }).fit(model, new DataLoader(rows(seen), { batchSize: 64 }))
  curves.push({ name, points: metrics.map(({ step, loss }) => ({ step, value: loss })) })
  model.eval()
  return model
}

/**
 * Beam search that writes only IDs of items that there are: behind a prefix, the codes that the index knows. Items with their
 * log-probability, the best first.
 */
function generated(
  model: IGPT,
  ids: Int32Array[],
  index: CodeIndex,
  items: Int32Array,
  beams: number,
): number[] {
  const start = tokensOf(ids, items)
  let paths: { prefix: number[]; score: number }[] = [{ prefix: [], score: 0 }]
  for (let level = 0; level < levels; level++) {
    const logits = tf.tidy(() => {
      const rows = paths.map(({ prefix }) => [
        ...start,
        ...prefix.map((code, l) => (firsts[l] as number) + code),
      ])
      return tf
        .logSoftmax(
          tf.squeeze(model.logits(tf.tensor2d(rows, undefined, 'int32'), undefined, { last: true }), [1]),
        )
        .arraySync() as number[][]
    })
    paths = paths
      .flatMap(({ prefix, score }, row) =>
        index.counts(prefix).map(({ code }) => ({
          prefix: [...prefix, code],
          score: score + (logits[row]?.[(firsts[level] as number) + code] as number),
        })),
      )
      .sort((a, b) => b.score - a.score)
      .slice(0, beams)
  }
  return paths.map(({ prefix }) => index.findItems(prefix)[0] as number)
}

type Recommender = (items: Int32Array) => number[]
async function byIds(name: string, ids: Int32Array[]): Promise<Recommender> {
  const model = await learned(name, ids)
  const index = new CodeIndex(
    Int32Array.from(ids.flatMap(codes => Array.from(codes))),
    levels,
    ids.map((_, i) => String(i)),
  )
  return items => generated(model, ids, index, items, quick ? 20 : 30)
}

// --- 4. What others would recommend ------------------------------------------------------------------------------

const popularity = new Float64Array(items)
for (const items of seen) for (const item of items) popularity[item] = (popularity[item] as number) + 1
const together = Array.from({ length: items }, () => new Map<number, number>())
const after = Array.from({ length: items }, () => new Map<number, number>())
for (const items of seen)
  for (const [i, a] of items.entries())
    for (const [j, b] of items.entries()) {
      if (a !== b) together[a]?.set(b, (together[a]?.get(b) ?? 0) + 1)
      if (j === i + 1) after[a]?.set(b, (after[a]?.get(b) ?? 0) + 1)
    }
const ranked = (score: (item: number) => number): number[] => {
  const scores = Float64Array.from(
    { length: items },
    (_, item) => score(item) + 1e-9 * (popularity[item] as number),
  )
  return Array.from(scores.keys())
    .sort((a, b) => (scores[b] as number) - (scores[a] as number))
    .slice(0, 60)
}
const popular = ranked(() => 0)
const methods: Record<string, Recommender> = {
  popularity: () => popular,
  // Items often chosen by the same people, by cosine (Sarwar et al. 2001, https://doi.org/10.1145/371920.372071).
  'item k-NN': items => {
    const score = new Map<number, number>()
    for (const a of items)
      for (const [b, count] of together[a] as Map<number, number>)
        score.set(
          b,
          (score.get(b) ?? 0) + count / Math.sqrt((popularity[a] as number) * (popularity[b] as number)),
        )
    return ranked(item => score.get(item) ?? 0)
  },
  'what followed the last': items => ranked(item => after[items.at(-1) as number]?.get(item) ?? 0),
  'nearest embeddings': items => {
    const from = (items.at(-1) as number) * dim
    return ranked(item => {
      let distance = 0
      for (let d = 0; d < dim; d++)
        distance += ((embeddings[from + d] as number) - (embeddings[item * dim + d] as number)) ** 2
      return -distance
    })
  },
  'transformer, random IDs': await byIds('random IDs', atRandom),
  'transformer, semantic IDs': await byIds('semantic IDs', semantic),
}
await save(
  'learning.png',
  convergence(curves, { metric: 'training loss (nats a token)', title: 'Two kinds of IDs are learned' }),
)

// --- 5. How often is the next item among the first k? ------------------------------------------------------------

const cuts = [1, 2, 5, 10, 20]
const recall: SensitivityPoint[] = []
const fresh = tested.filter(items => isNew[items.at(-1) as number]).length
console.log(`\n${tested.length} people, ${fresh} of whom choose a new item next`)
console.log(`${''.padEnd(28)} recall@5   recall@10   NDCG@10   recall@10 of new items`)
for (const [series, recommend] of Object.entries(methods)) {
  const ranks = tested.map(items => {
    const given = items.subarray(0, length - 1)
    return recommend(given)
      .filter(item => !given.includes(item))
      .indexOf(items.at(-1) as number)
  })
  const within = (k: number, of = ranks): number =>
    (100 * of.filter(rank => rank >= 0 && rank < k).length) / Math.max(1, of.length)
  for (const value of cuts) recall.push({ series, value, result: within(value) })
  const ndcg = ranks.reduce((sum, rank) => sum + (rank >= 0 && rank < 10 ? 1 / Math.log2(rank + 2) : 0), 0)
  const ofNew = ranks.filter((_, user) => isNew[tested[user]?.at(-1) as number])
  console.log(
    `  ${series.padEnd(26)} ${`${within(5).toFixed(1)}%`.padStart(8)} ${`${within(10).toFixed(1)}%`.padStart(11)} ${(ndcg / ranks.length).toFixed(3).padStart(9)} ${`${within(10, ofNew).toFixed(1)}%`.padStart(20)}`,
  )
}
await save(
  'recall.png',
  sensitivity(recall, {
    parameter: 'k',
    result: 'recall@k (%)',
    scale: 'log',
    title: 'How often the next item is among the first k',
  }),
)

console.log(`\nFigures are in ${out}`)
