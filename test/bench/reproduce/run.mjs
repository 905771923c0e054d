// `npm run reproduce -- [NAME …] [--steps N] [--threads N]`: results on real data, of images beside PyTorch's. Whole runs are kept in
// measured.json and RESULTS.md; with --steps they are only printed. `--tables` writes RESULTS.md anew without any run. VQ_PYTHON
// names a Python with torch, numpy and safetensors.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { device, tf } from '../../../packages/core/dist/index.js'
import { table } from '../harness.mjs'
import { codes, rounding, rqvae, secondHalf, vqvae, vqvaeSeeds } from './cifar10.mjs'
import { coloredMnistPairs } from './colored-mnist.mjs'
import { load, missing } from './data.mjs'
import { igpt } from './igpt.mjs'
import * as mnistVae from './mnist-vae.mjs'
import { pets } from './pets.mjs'
import { agNews, cifarProbe } from './semantic-ids.mjs'
import { throughput } from './throughput.mjs'

const jobs = {
  'cifar10-vqvae': vqvae,
  'cifar10-seeds': vqvaeSeeds,
  'cifar10-rounding': rounding,
  'cifar10-second-half': secondHalf,
  'cifar10-codes': codes,
  'cifar10-rqvae': rqvae,
  'mnist-vae': mnistVae,
  'colored-mnist': coloredMnistPairs,
  igpt,
  'agnews-ids': agNews,
  'cifar10-ids': cifarProbe,
  'ids-throughput': throughput,
  'pets-segmentation': pets,
}
const whole = 3000
const record = new URL('measured.json', import.meta.url)
const page = new URL('../../../RESULTS.md', import.meta.url)

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { steps: { type: 'string' }, threads: { type: 'string' }, tables: { type: 'boolean' } },
})
const steps = Number(values.steps ?? whole)
const threads = Number(values.threads ?? availableParallelism())
const names = values.tables ? [] : positionals.length > 0 ? positionals : Object.keys(jobs)
const unknown = names.filter(name => jobs[name] === undefined)
if (unknown.length > 0 || ![steps, threads].every(n => Number.isInteger(n) && n >= 1)) {
  console.error(`usage: npm run reproduce -- [${Object.keys(jobs).join('] [')}] [--steps N] [--threads N]`)
  process.exit(2)
}

device.threads = threads
const recorded = () => (existsSync(record) ? JSON.parse(readFileSync(record, 'utf8')) : {})
let printed = {}
if (values.tables) writeFileSync(page, document(recorded()))
for (const name of names) {
  const data = await load(jobs[name].data)
  if (data === undefined) {
    console.log(`${name}: left out, since ${missing(jobs[name].data)}`)
    continue
  }
  const folder = mkdtempSync(join(tmpdir(), 'vq-reproduce-'))
  try {
    console.log(name)
    // Templates have a length of their own.
    const own = jobs[name].ownSteps ? values.steps && steps : steps
    const figures = await jobs[name].run(data, { steps: own, folder, say: line => console.log(line) })
    const software = [`Node ${process.versions.node}`, tf.getBackend()]
    if (figures.peer) software.push(`PyTorch ${figures.peer.versions.PyTorch}`)
    const date = new Date().toISOString().slice(0, 10)
    const machine = `${cpus()[0].model.trim()}, ${threads} threads, ${software.join(', ')}`
    const all = values.steps === undefined ? recorded() : printed
    const length = jobs[name].ownSteps ? figures.steps : steps
    all[name] = { ...(length && { steps: length }), date, machine, figures }
    printed = all
    console.log(section(name, all))
    if (values.steps !== undefined) continue
    writeFileSync(record, `${JSON.stringify(all, null, 2)}\n`)
    writeFileSync(page, document(all))
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function section(name, all) {
  const { steps, date, machine, figures } = all[name]
  const vq = all['cifar10-vqvae']
  const rows = jobs[name].rows(figures, vq !== undefined && vq.steps === steps ? vq.figures : undefined)
  const verdict = met => (met === undefined ? '' : met ? 'yes' : 'no')
  const text = table(
    ['result', 'bar', 'VQ', 'PyTorch', 'met', ''],
    rows.map(r => [r.result, r.bar, r.ours, r.peer, verdict(r.met), r.note]),
  )
  const length = steps === undefined ? 'Measured' : `${steps.toLocaleString('en')} steps, measured`
  return `## ${name}\n\n${length} ${date} on ${machine}.\n\n${text}\n`
}

function document(all) {
  const parts = Object.keys(jobs).flatMap(name => (all[name] ? [section(name, all)] : []))
  return `# Results on real data

Written by \`npm run reproduce\`. Where PyTorch stands beside, both sides start from the same weights and see the same batches (of the
VAE also the same noise). Adam at 1e-3. CIFAR-10 is 4,000 training and 1,000 test images from 0 to 1, in batches of 64, gradients
clipped at norm 1; MNIST is binarised at one half, in batches of 128, not clipped; the transformer's sequences come in batches of 128,
clipped at norm 1. AG News is its 7,600 test texts, title and description; semantic IDs of it and of CIFAR-10 are of the pipeline's
templates, which see no labels. The pets are the 305 of \`pets/index.csv\` that are faithful, every fifth of them held out, at 128
pixels; pet, background and border are three classes, and the weights are the last ones, which the held-out images had no part in
choosing. Times are as they came, with whatever else the machine did. Coloured MNIST is trained by
\`packages/igpt/configs/colored-mnist.json\` into \`runs/colored-mnist\`; what it draws is judged by
\`test/oracle/colored-digits.py\`, a CNN of real MNIST for the digits and the table of colours for the rest.

${parts.join('\n')}`
}
