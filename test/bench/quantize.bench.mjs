// Nearest code, residual encoding, k-means and the EMA update on typed arrays.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  emaUpdate,
  initEmaState,
  kmeansSync,
  native,
  nearest,
  residualEncode,
} from '../../packages/core/dist/index.js'
import { block, fmaLimit, measure, ms, table } from './harness.mjs'
import { startPeer } from './peer.mjs'

export const title = 'Quantization'

/** Uniform in [-0.5, 0.5), from a small generator: the data must be the same in every run. */
function draw(count, seed) {
  let a = seed >>> 0
  return Float32Array.from({ length: count }, () => {
    a = (Math.imul(a, 1664525) + 1013904223) >>> 0
    return (a >>> 8) / 2 ** 24 - 0.5
  })
}

function cases() {
  const list = []
  for (const [n, k, dim] of [
    [8192, 1024, 64],
    [8192, 512, 64],
    [65536, 256, 64],
    [8192, 128, 256],
    [4096, 8192, 256],
  ]) {
    const arrays = { x: draw(n * dim, 1), codes: draw(k * dim, 2) }
    list.push({
      name: `nearest ${n} × ${k} × ${dim}`,
      work: 'nearest',
      peers: k === 1024 ? ['FAISS', 'PyTorch'] : ['FAISS'],
      arrays,
      settings: { dim },
      flops: 2 * n * k * dim,
      run: threads => nearest(arrays.x, arrays.codes, { dim, threads }),
    })
  }
  const [n, k, dim, levels] = [50000, 256, 64, 4]
  const x = draw(n * dim, 3)
  const books = Array.from({ length: levels }, (_, level) =>
    draw(k * dim, 4 + level).map(v => v * 0.7 ** level),
  )
  const named = Object.fromEntries(books.map((book, level) => [`book${level}`, book]))
  for (const beam of [1, 5])
    list.push({
      name: `residual encode ${n} × ${dim}, ${levels} × ${k}, beam ${beam}`,
      work: 'residual',
      peers: ['FAISS'],
      arrays: { x, ...named },
      settings: { dim, levels, beam },
      flops: 2 * n * k * dim * (1 + (levels - 1) * beam),
      run: threads => residualEncode(x, books, { dim, beam, threads }),
    })
  const start = x.slice(0, k * dim)
  const iterations = 25
  list.push({
    name: `k-means ${n} × ${dim}, K ${k}, ${iterations} iterations`,
    work: 'kmeans',
    peers: ['FAISS', 'scikit-learn'],
    arrays: { x, start },
    settings: { dim, iterations },
    flops: 2 * n * k * dim * (iterations + 1),
    run: threads => kmeansSync(x, { k, dim, iterations, init: start, tolerance: 0, threads }),
    inertia: true,
  })
  const { indices } = nearest(x, books[0], { dim })
  const state = initEmaState(books[0], { dim })
  list.push({
    name: `EMA update ${n} × ${dim}, K ${k}`,
    work: 'ema',
    peers: ['PyTorch'],
    arrays: { x, codes: books[0], indices },
    settings: { dim },
    run: threads => emaUpdate(x, indices, state, { dim, threads }),
  })
  return list
}

export async function run({ only, say, wanted }) {
  const folder = mkdtempSync(join(tmpdir(), 'vq-bench-'))
  const peer = await startPeer('quantize.py')
  const rows = []
  const notes = []
  try {
    for (const c of cases()) {
      if (only && !c.name.includes(only)) continue
      const files = {}
      if (peer !== undefined)
        for (const [name, values] of Object.entries(c.arrays)) {
          files[name] = join(folder, `${name}.bin`)
          writeFileSync(files[name], values)
        }
      for (const threads of availableParallelism() > 1 ? [2, 1] : [1])
        for (const name of peer === undefined ? [undefined] : c.peers) {
          let ask = []
          if (name !== undefined) {
            const ready = await peer.ask({
              do: 'prepare',
              work: c.work,
              peer: name,
              threads,
              files,
              ...c.settings,
            })
            if (ready?.ready !== true) {
              notes.push(`${c.name}: no figure of ${name} (${ready?.error ?? ready?.missing ?? 'it ended'})`)
              ask = undefined
            } else ask = [async () => (await peer.ask({ do: 'time', ...block })).seconds]
          }
          if (ask === undefined && c.peers[0] !== name) continue
          const m = await measure(() => c.run(threads), ask ?? [], { threads, wanted })
          const gflops = c.flops === undefined ? undefined : c.flops / m.ours / 1e9
          const row = [
            c.name,
            threads,
            ms(m.ours) + (m.steady ? '' : ' (noisy)'),
            gflops?.toFixed(0) ?? '',
            gflops === undefined ? '' : `${((100 * gflops) / fmaLimit(threads)).toFixed(0)}%`,
            m.peers.length ? name : '',
            m.peers.length ? ms(m.peers[0]) : '',
            m.peers.length ? `${(m.peers[0] / m.ours).toFixed(2)}×` : '',
          ]
          rows.push(row)
          say(row.join('  '))
          if (c.inertia && m.peers.length && threads === 1) {
            const theirs = (await peer.ask({ do: 'inertia' })).inertia
            const mine = c.run(threads).inertia
            notes.push(
              `k-means inertia from the same start: ours ${mine.toFixed(2)}, ${name} ${theirs?.toFixed(2)}`,
            )
          }
        }
    }
  } finally {
    peer?.stop()
    rmSync(folder, { recursive: true, force: true })
  }
  if (peer === undefined)
    notes.push('Python with FAISS, scikit-learn and PyTorch was not found (VQ_PYTHON names one): ours alone.')
  if (native().isa() === 'avx512_bf16')
    notes.push(
      'GFLOP/s count one float32 multiplication and addition per element of every row and code. A filter in bfloat16 products, which do two at once, leaves few codes to score in float32, so the share of the FMA limit may pass 100%.',
    )
  const head = ['work', 'threads', 'VQ', 'GFLOP/s', 'of FMA limit', 'peer', "peer's time", 'ratio']
  return {
    text: [table(head, rows), '', ...notes.map(n => `- ${n}`)].join('\n'),
    versions: peer?.versions ?? {},
  }
}
