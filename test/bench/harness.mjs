// How every figure is taken: blocks of our calls and of the peers' alternate, the FMA limit is probed before and after each
// round, rounds in which the machine gave less than 95% of its best are discarded, medians of the rest.
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const program = fileURLToPath(new URL('../../native/build/Release/vq_native_bench', import.meta.url))
const best = new Map()

/** GFLOP/s of fused multiply-adds right now. */
export function probe(threads, seconds = 0.04) {
  if (!existsSync(program))
    throw new Error('native/build/Release/vq_native_bench is missing: run `npm run build`')
  const text = execFileSync(program, ['fma', '--threads', String(threads), '--seconds', String(seconds)])
  const { gflops } = JSON.parse(text)
  best.set(threads, Math.max(best.get(threads) ?? 0, gflops))
  return gflops
}

export function copyBandwidth(threads) {
  return JSON.parse(execFileSync(program, ['copy', '--threads', String(threads), '--seconds', '0.5'])).gbytes
}

/** The best probe so far. */
export function fmaLimit(threads) {
  return best.get(threads) ?? probe(threads, 0.3)
}

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b)
  const half = sorted.length >> 1
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2
}

/**
 * A block: one call that does not count, since idle cores take milliseconds to wake, then at least `calls` calls and
 * `seconds`, or `enough` seconds where a call is long. A peer's program keeps the same rule.
 */
export const block = { calls: 5, seconds: 0.06, enough: 0.35 }

/** The median time of a call within one block, in seconds. */
export function timeBlock(call) {
  call()
  const times = []
  const start = performance.now()
  for (let now = start, spent = 0; spent < block.enough; ) {
    call()
    const then = performance.now()
    times.push((then - now) / 1000)
    now = then
    spent = (now - start) / 1000
    if (times.length >= block.calls && spent >= block.seconds) break
  }
  return median(times)
}

/**
 * Medians in seconds per call of `ours()` and of every function of `peers` (each times one block). Takes up to `most` rounds to
 * keep `wanted`; `steady` is false where fewer were kept, and then the rounds with the best probes count.
 */
export async function measure(ours, peers, { threads, wanted = 7, most = 28, patience = 15_000 }) {
  for (let i = 0; i < 2; i++) ours()
  const rounds = []
  const good = () => rounds.filter(r => r.probe >= 0.95 * fmaLimit(threads))
  let before = probe(threads)
  const begun = performance.now()
  const patient = () => rounds.length < wanted || performance.now() - begun < patience
  while (rounds.length < most && good().length < wanted && patient()) {
    const seconds = [timeBlock(ours)]
    for (const peer of peers) {
      await setTimeout(15) // idle threads of ours spin for a moment: not into the peer's time
      seconds.push(await peer())
    }
    const after = probe(threads)
    rounds.push({ seconds, probe: Math.min(before, after) })
    before = after
  }
  const steady = good().length >= wanted
  const kept = steady ? good() : rounds.sort((a, b) => b.probe - a.probe).slice(0, wanted)
  const [mine, ...theirs] = kept[0].seconds.map((_, i) => median(kept.map(r => r.seconds[i])))
  return { ours: mine, peers: theirs, steady, rounds: rounds.length, kept: kept.length }
}

/** A Markdown table. */
export function table(head, rows) {
  const line = cells => `| ${cells.join(' | ')} |`
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')
}

export const ms = seconds => `${(seconds * 1000).toPrecision(4)} ms`
