// npm run bench [-- --only NAME] [-- --part TITLE] [-- --rounds N] [-- --print]: runs every *.bench.mjs beside this file and
// writes BENCHMARKS.md; with --part that part alone, the others stay as they were measured before. A benchmark file exports
// `title` and `run({ only, say, wanted })`, which resolves to { text, versions }.
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus, totalmem } from 'node:os'
import { parseArgs } from 'node:util'
import { native } from '../../packages/core/dist/index.js'
import { copyBandwidth, fmaLimit, probe } from './harness.mjs'

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    part: { type: 'string' },
    rounds: { type: 'string', default: '7' },
    print: { type: 'boolean' },
  },
})
const folder = new URL('.', import.meta.url)
const threads = availableParallelism() > 1 ? [1, 2] : [1]
for (const t of threads) probe(t, 0.3)

const target = new URL('../../BENCHMARKS.md', import.meta.url)
const earlier = values.part !== undefined && existsSync(target) ? readFileSync(target, 'utf8') : ''
/** The part as it was measured before, if it was. */
const before = title => earlier.split('\n## ').find(part => part.startsWith(`${title}\n`))

const parts = []
const peers = new Set(earlier.match(/^- peers: (.*)$/m)?.[1].split(', '))
let ran = 0
for (const file of readdirSync(folder)
  .filter(f => f.endsWith('.bench.mjs'))
  .sort()) {
  const bench = await import(new URL(file, folder))
  if (values.part !== undefined && values.part !== bench.title) {
    const text = before(bench.title)
    if (text !== undefined) parts.push(`## ${text.trim()}`)
    continue
  }
  console.log(`== ${bench.title}`)
  const result = await bench.run({ only: values.only, say: console.log, wanted: Number(values.rounds) })
  ran++
  for (const [name, version] of Object.entries(result.versions)) peers.add(`${name} ${version}`)
  parts.push(`## ${bench.title}\n\n${result.text}`)
}

if (ran === 0) throw new Error(`no benchmark has the title ${values.part}`)

const machine = [
  `- ${cpus()[0].model.trim()}, ${availableParallelism()} cores, ${Math.round(totalmem() / 2 ** 30)} GiB, ${process.platform} ${process.arch}`,
  `- quantization kernels: ${native().isa()} (of ${native().isaList().join(', ')}); Node ${process.versions.node}`,
  `- FMA limit ${threads.map(t => `${fmaLimit(t).toFixed(0)} GFLOP/s on ${t} thread${t > 1 ? 's' : ''}`).join(', ')}; memory copies ${copyBandwidth(threads.at(-1)).toFixed(0)} GB/s (read plus written)`,
  ...(peers.size ? [`- peers: ${[...peers].join(', ')}`] : []),
]
const text = `# Benchmarks

Written by \`npm run bench\`. Ours and the peer's runs alternate; each figure is the median of at least ${values.rounds} rounds in which the
machine gave at least 95% of its best FMA rate ("noisy" where it did not). Ratios travel, absolute times do not.

${machine.join('\n')}

${parts.join('\n\n')}
`
if (values.print || values.only) console.log(`\n${text}`)
else writeFileSync(target, text)
