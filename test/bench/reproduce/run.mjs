// `npm run reproduce -- [NAME …] [--steps N]`: results on real images beside PyTorch's. Whole runs are written to RESULTS.md;
// with --steps they are only printed. VQ_PYTHON names a Python with torch, numpy and safetensors.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { device, tf } from '../../../packages/core/dist/index.js'
import { table } from '../harness.mjs'
import * as cifar10 from './cifar10.mjs'
import { load, missing } from './data.mjs'
import * as mnistVae from './mnist-vae.mjs'

const jobs = { cifar10, 'mnist-vae': mnistVae }
const whole = 3000
const record = new URL('measured.json', import.meta.url)
const page = new URL('../../../RESULTS.md', import.meta.url)

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { steps: { type: 'string' } },
})
const steps = Number(values.steps ?? whole)
const names = positionals.length > 0 ? positionals : Object.keys(jobs)
const unknown = names.filter(name => jobs[name] === undefined)
if (unknown.length > 0 || !Number.isInteger(steps) || steps < 1) {
  console.error(`usage: npm run reproduce -- [${Object.keys(jobs).join('] [')}] [--steps N]`)
  process.exit(2)
}

const verdict = met => (met === undefined ? '' : met ? 'yes' : 'no')
const render = rows =>
  table(
    ['result', 'bar', 'VQ', 'PyTorch', 'met', ''],
    rows.map(r => [r.result, r.bar, r.ours, r.peer, verdict(r.met), r.note]),
  )

device.threads = availableParallelism()
const measured = existsSync(record) ? JSON.parse(readFileSync(record, 'utf8')) : {}
for (const name of names) {
  const job = jobs[name]
  const images = load(job.data)
  if (images === undefined) {
    console.log(`${name}: left out, since ${missing(job.data)}`)
    continue
  }
  const folder = mkdtempSync(join(tmpdir(), 'vq-reproduce-'))
  try {
    const { rows, versions } = await job.run(images, { steps, folder, say: line => console.log(line) })
    console.log(render(rows))
    measured[name] = {
      steps,
      date: new Date().toISOString().slice(0, 10),
      machine: `${cpus()[0].model}, ${availableParallelism()} threads, Node ${process.versions.node}, ${tf.getBackend()}${versions ? `, PyTorch ${versions.PyTorch}` : ''}`,
      rows,
    }
    if (values.steps !== undefined) continue
    writeFileSync(record, `${JSON.stringify(measured, null, 2)}\n`)
    writeFileSync(page, document(measured))
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function document(all) {
  const parts = Object.entries(all).map(
    ([name, { steps, date, machine, rows }]) =>
      `## ${name}\n\n${steps.toLocaleString('en')} steps, measured ${date} on ${machine}.\n\n${render(rows)}\n`,
  )
  return `# Results on real images\n\nWritten by \`npm run reproduce\`: both sides start from the same weights and see the same batches (of the VAE also the same noise), by Adam at 1e-3; CIFAR-10 is 4,000 training and 1,000 test images in batches of 64, clipped at norm 1; MNIST is binarised at one half, in batches of 128.\n\n${parts.join('\n')}`
}
