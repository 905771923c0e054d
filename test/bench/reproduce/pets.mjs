// Oxford-IIIT Pet on 244 images: a backbone from scratch, and its features behind a residual quantizer, by the commands of a user.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { main } from '../../../packages/segmentation/dist/cli/main.js'

const seeds = [0, 1, 2]
const epochs = { backbone: 50, heads: 8 }

async function command(...words) {
  const code = await main(['node', 'vq-segment', ...words.map(String)])
  if (code !== 0) throw new Error(`vq-segment ${words.join(' ')} ended with ${code}`)
}

const flags = options => Object.entries(options).flatMap(([name, value]) => [`--${name}`, value])
const read = path => JSON.parse(readFileSync(path, 'utf8'))
const mean = values => values.reduce((a, b) => a + b, 0) / values.length

/** Of the last weights, which nothing was chosen by. */
function figuresOf({ last, wallSeconds, cpuSeconds }) {
  const iou = Object.fromEntries(last.classes.map(c => [c.name, c.iou]))
  const { bits, compression, levels, similarity } = last.codes ?? {}
  return {
    iou,
    meanIou: last.meanIou,
    wallSeconds,
    cpuSeconds,
    ...(bits && { bits, compression, levels, similarity }),
  }
}

async function seed(seed, path, output, short) {
  const shared = {
    ...{
      model: 'small',
      'data-path': path,
      'image-size': 128,
      'batch-size': 16,
      'loss-type': 'combined',
      seed,
    },
    ...{ schedule: 'cosine', 'output-dir': output },
  }
  await command(
    'baseline',
    ...flags({
      ...shared,
      epochs: short ?? epochs.backbone,
      lr: 2e-3,
      'weight-decay': 0.05,
      'warmup-steps': 30,
    }),
    ...flags({ 'average-decay': 0.99, 'experiment-name': 'backbone' }),
  )
  const weights = join(output, 'backbone/last.safetensors')
  await command(
    'compare',
    ...flags({ ...shared, weights, epochs: short ?? epochs.heads, lr: 1e-3, copies: short ?? 4 }),
    ...flags({ 'codebook-size': 256, 'experiment-name': 'compare' }),
    '--quantizer-types',
    'none',
    'rvq',
  )
  const of = name => figuresOf(read(join(output, name, 'results.json')))
  return { seed, scratch: of('backbone'), baseline: of('compare/none'), rvq: of('compare/rvq') }
}

export const pets = {
  data: 'pets',
  ownSteps: true,
  /** `steps`, if given, is the number of epochs of a run that is only tried out. */
  async run({ path }, { steps, folder, say }) {
    const runs = []
    for (const number of seeds) {
      say(`seed ${number}`)
      runs.push(await seed(number, path, join(folder, String(number)), steps))
    }
    return { runs, epochs }
  },
  rows: ({ runs }) => {
    const iou = (name, cls) => runs.map(run => run[name].iou[cls])
    const shown = values => `${mean(values).toFixed(3)} (${values.map(v => v.toFixed(3)).join(', ')})`
    const [baseline, rvq] = ['baseline', 'rvq'].map(name => iou(name, 'pet'))
    const bits = Math.max(...runs.map(run => run.rvq.bits.nominal))
    const seconds = (pick, names) =>
      Math.max(...runs.map(run => names.reduce((sum, name) => sum + run[name][pick], 0)))
    const all = ['scratch', 'baseline', 'rvq']
    const others = name =>
      `background ${mean(iou(name, 'background')).toFixed(3)}, border ${mean(iou(name, 'border')).toFixed(3)}`
    return [
      {
        result: `pet IoU of the network from scratch, 61 held-out pets, ${runs.length} seeds`,
        bar: 'at least 0.60',
        ours: shown(iou('scratch', 'pet')),
        peer: '',
        met: mean(iou('scratch', 'pet')) >= 0.6,
        note: others('scratch'),
      },
      {
        result: 'pet IoU of the baseline: its frozen features, the head trained on',
        bar: 'at least 0.60',
        ours: shown(baseline),
        peer: '',
        met: mean(baseline) >= 0.6,
        note: others('baseline'),
      },
      {
        result: `the same through RVQ, 4 × 256 codes, ${bits} bits per vector`,
        bar: 'at most 0.03 below, at most 32 bits',
        ours: shown(rvq),
        peer: '',
        met: mean(baseline) - mean(rvq) <= 0.03 && bits <= 32,
        note: `${others('rvq')}; ${mean(runs.map(r => r.rvq.bits.entropy)).toFixed(1)} bits entropy-coded, CKA ${mean(runs.map(r => r.rvq.similarity.cka)).toFixed(3)}`,
      },
      {
        result: 'all of it for one seed, the slowest',
        bar: 'under 30 minutes',
        ours: `${(seconds('wallSeconds', all) / 60).toFixed(1)} minutes`,
        peer: '',
        met: seconds('wallSeconds', all) < 1800,
        note: `${(seconds('cpuSeconds', all) / 60).toFixed(1)} minutes of processor time`,
      },
    ]
  },
}
