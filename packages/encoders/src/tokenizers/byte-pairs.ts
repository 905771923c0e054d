// Byte-pair merges learned from counted words: the most frequent pair is merged until there are enough tokens.
// Source: Sennrich, Haddow, Birch 2015, https://arxiv.org/abs/1508.07909, section 3.2, with counts kept up to date.

interface Candidate {
  count: number
  first: number
  second: number
}

/** More frequent pairs first; of equally frequent ones those of lower ids, as in Python's library. */
function before(a: Candidate, b: Candidate): boolean {
  if (a.count !== b.count) return a.count > b.count
  return a.first !== b.first ? a.first < b.first : a.second < b.second
}

/** A binary heap whose top goes before all others. */
class Queue {
  private readonly items: Candidate[] = []

  get top(): Candidate | undefined {
    return this.items[0]
  }

  push(item: Candidate): void {
    const { items } = this
    let at = items.push(item) - 1
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!before(item, items[parent]!)) break
      items[at] = items[parent]!
      at = parent
    }
    items[at] = item
  }

  pop(): Candidate | undefined {
    const { items } = this
    const top = items[0]
    const last = items.pop()
    if (last === undefined || items.length === 0) return top
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= items.length) break
      if (child + 1 < items.length && before(items[child + 1]!, items[child]!)) child++
      if (!before(items[child]!, last)) break
      items[at] = items[child]!
      at = child
    }
    items[at] = last
    return top
  }
}

// Ids are below 2²⁴, so that a pair is one number.
const base = 2 ** 24

/** Ids of the tokens of `words` are changed in place. */
class Corpus {
  readonly counts: Map<number, number> = new Map()
  private readonly where: Map<number, Set<number>> = new Map()
  private readonly words: number[][]
  private readonly frequencies: readonly number[]

  constructor(words: number[][], frequencies: readonly number[]) {
    this.words = words
    this.frequencies = frequencies
    for (let i = 0; i < words.length; i++) this.count(i, 1)
  }

  /** Merges a pair into `id` everywhere; the pairs that are new or more frequent than before. */
  merge(first: number, second: number, id: number): Set<number> {
    const pair = first * base + second
    const touched = new Set<number>()
    for (const i of this.where.get(pair) ?? []) {
      const word = this.words[i]!
      this.count(i, -1)
      const merged: number[] = []
      for (let at = 0; at < word.length; at++)
        if (word[at] === first && word[at + 1] === second) {
          merged.push(id)
          at++
        } else merged.push(word[at]!)
      this.words[i] = merged
      this.count(i, 1)
      for (let at = 0; at + 1 < merged.length; at++)
        if (merged[at] === id || merged[at + 1] === id) touched.add(merged[at]! * base + merged[at + 1]!)
    }
    this.where.delete(pair)
    return touched
  }

  private count(index: number, sign: 1 | -1): void {
    const word = this.words[index]!
    const frequency = sign * this.frequencies[index]!
    for (let at = 0; at + 1 < word.length; at++) {
      const pair = word[at]! * base + word[at + 1]!
      this.counts.set(pair, (this.counts.get(pair) ?? 0) + frequency)
      if (sign < 0) continue
      const places = this.where.get(pair)
      if (places === undefined) this.where.set(pair, new Set([index]))
      else places.add(index)
    }
  }
}

/**
 * Adds merged tokens to `vocab` (token → id) until it has `size` of them or no pair is as frequent as `minFrequency`; the
 * merges in the order in which they were learned. `words` are counted words, made of tokens of the vocabulary.
 */
export function learnMerges(
  words: ReadonlyMap<string, number>,
  vocab: Map<string, number>,
  size: number,
  minFrequency: number,
): [string, string][] {
  const tokens: string[] = []
  for (const [token, id] of vocab) tokens[id] = token
  const corpus = new Corpus(
    [...words.keys()].map(word => Array.from(word, letter => vocab.get(letter)!)),
    [...words.values()],
  )
  const queue = new Queue()
  const candidate = (pair: number): Candidate => ({
    count: corpus.counts.get(pair) ?? 0,
    first: Math.floor(pair / base),
    second: pair % base,
  })
  for (const pair of corpus.counts.keys()) queue.push(candidate(pair))
  const merges: [string, string][] = []
  while (vocab.size < size) {
    const top = queue.pop()
    if (top === undefined) break
    const now = candidate(top.first * base + top.second)
    if (now.count !== top.count) {
      // Counts fall as other pairs are merged.
      if (now.count > 0) queue.push(now)
      continue
    }
    if (top.count < Math.max(1, minFrequency)) break
    const [first, second] = [tokens[top.first]!, tokens[top.second]!]
    const token = first + second
    const id = vocab.get(token) ?? vocab.size
    if (!vocab.has(token)) {
      vocab.set(token, id)
      tokens[id] = token
    }
    merges.push([first, second])
    for (const pair of corpus.merge(top.first, top.second, id)) queue.push(candidate(pair))
  }
  return merges
}
