// Coloured MNIST by the committed configuration: both stages, then what is drawn for captions and said of images that were held
// back, judged by a CNN of real MNIST and by the table of colours (test/oracle/colored-digits.py).
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { tf } from '../../../packages/core/dist/index.js'
import { main } from '../../../packages/igpt/dist/cli/main.js'
import {
  imagesForTexts,
  imagesOfCodes,
  imageTokens,
  loadMultimodal,
  textsForImages,
} from '../../../packages/igpt/dist/index.js'
import { coloredMnist, namedColors } from '../../../packages/models/dist/data/index.js'
import { sampleGrid } from '../../../packages/models/dist/plot/index.js'

const here = path => fileURLToPath(new URL(path, import.meta.url))
const [root, mnist] = [here('../../../'), here('../../../../shared/data/mnist')]
const config = here('../../../packages/igpt/configs/colored-mnist.json')
const script = here('../../oracle/colored-digits.py')
const runs = join(root, 'runs/colored-mnist')

const spent = () => {
  const { user, system } = process.cpuUsage()
  return { wall: performance.now() / 1000, cpu: (user + system) / 1e6 }
}

/** Trains unless `folder` holds models already; a run that was killed goes on where it was. */
async function train(folder, say) {
  const times = join(folder, 'times.json')
  if (!existsSync(join(folder, 'checkpoints/igpt_model'))) {
    const before = spent()
    const code = await main(['node', 'vq-igpt', 'train', '--config', config, '--data', mnist, '--out', folder, '--resume']) // biome-ignore format: one line
    if (code !== 0) throw new Error(`vq-igpt ended with ${code}`)
    const after = spent()
    writeFileSync(times, JSON.stringify({ wall: after.wall - before.wall, cpu: after.cpu - before.cpu }))
  }
  const taken = JSON.parse(readFileSync(times, 'utf8'))
  say(`  trained in ${(taken.wall / 60).toFixed(1)} minutes, ${(taken.cpu / 60).toFixed(1)} of CPU`)
  return taken
}

/** What the CNN and the table of colours say of images [N, S, S, 3]. */
function judge(folder, name, { values, shape, captions }) {
  const python = process.env.VQ_PYTHON ?? 'python3'
  const weights = join(folder, 'classifier.pt')
  const run = words => JSON.parse(execFileSync(python, [script, ...words], { encoding: 'utf8' }).trim())
  if (!existsSync(weights)) run(['train', mnist, weights])
  const [images, request] = [join(folder, `${name}.f32`), join(folder, `${name}.json`)]
  writeFileSync(images, Buffer.from(values.buffer, values.byteOffset, values.byteLength))
  const [count, size] = shape
  const colors = namedColors.map(({ name, rgb }) => ({ name, rgb }))
  writeFileSync(request, JSON.stringify({ images, count, size, captions, colors }))
  return run(['judge', weights, request])
}

/** Images of 0 to 1 of rows of codes. */
function pictures(model, codes) {
  const parts = []
  for (let at = 0; at < codes.length; at += 100)
    parts.push(
      tf.tidy(() => {
        const made = imagesOfCodes(model, codes.slice(at, at + 100))
        return Float32Array.from(tf.clipByValue(tf.div(tf.add(made, 1), 2), 0, 1).dataSync())
      }),
    )
  const values = new Float32Array(parts.reduce((n, p) => n + p.length, 0))
  let at = 0
  for (const part of parts) {
    values.set(part, at)
    at += part.length
  }
  return values
}

async function draw(file, title, { values, shape, captions }, count = 48) {
  const [, ...one] = shape
  const size = one.reduce((a, b) => a * b)
  const grid = await sampleGrid(values.slice(0, count * size), { shape: [count, ...one], captions: captions.slice(0, count), title }) // biome-ignore format: one line
  await grid.save(file)
}

export async function measure(folder, say, { sampling = {}, prompts = 500, tested = 2000 } = {}) {
  const { images, model, vocabulary, tokenizer, sampling: kept } = await loadMultimodal(join(folder, 'checkpoints')) // biome-ignore format: one line
  const { train_images: seen, seed } = JSON.parse(readFileSync(config, 'utf8'))
  const held = await coloredMnist({ folder: mnist, split: 'test', count: tested, seed, offset: 10 * seen })
  const values = await held.batch(Int32Array.from({ length: tested }, (_, i) => i))
  const { codes: flat } = await imageTokens(images, held, { pixels: 'signed' })
  const each = flat.length / tested
  const codes = Array.from({ length: tested }, (_, i) => flat.subarray(i * each, (i + 1) * each))
  const shape = [prompts, ...held.shape]
  const captions = held.captions.slice(0, prompts)
  const size = values.length / tested
  const results = {}

  const real = { values: values.slice(0, prompts * size), shape, captions }
  results.real = judge(folder, 'real', real)
  say(`  the measure on real images: ${JSON.stringify(results.real)}`)
  const again = { values: pictures(images, codes.slice(0, prompts)), shape, captions }
  results.reconstructed = judge(folder, 'reconstructed', again)
  await draw(join(folder, 'results/reconstructions.png'), 'Reconstructions', again)
  say(`  reconstructions: ${JSON.stringify(results.reconstructed)}`)

  const texts = captions.map(c => tokenizer.encode(c))
  const options = { ...kept, seed: 1, ...sampling }
  const made = Array.from({ length: Math.ceil(prompts / 100) }, (_, i) =>
    imagesForTexts(model, vocabulary, texts.slice(100 * i, 100 * (i + 1)), {
      ...options,
      seed: options.seed + i,
    }),
  ).flat()
  const asked = { values: pictures(images, made), shape, captions }
  results.drawn = { ...judge(folder, 'drawn', asked), options }
  await draw(join(folder, 'results/drawn.png'), 'Images that captions ask for', asked)
  say(`  images for captions: ${JSON.stringify(results.drawn)}`)

  const told = Array.from({ length: Math.ceil(tested / 200) }, (_, i) =>
    textsForImages(model, vocabulary, codes.slice(200 * i, 200 * (i + 1)), { temperature: 0 }),
  ).flat()
  const right = { digit: 0, ink: 0, paper: 0, colors: 0, all: 0 }
  for (const [i, words] of told.entries()) {
    const [said, truth] = [tokenizer.decode(words).split(' '), held.captions[i].split(' ')]
    const same = (...at) => at.every(n => said[n] === truth[n])
    right.digit += same(2)
    right.ink += same(0, 1)
    right.paper += same(4, 5)
    right.colors += same(0, 1, 4, 5)
    right.all += same(0, 1, 2, 3, 4, 5)
  }
  results.told = Object.fromEntries(Object.entries(right).map(([k, v]) => [k, v / tested]))
  say(`  captions for images: ${JSON.stringify(results.told)}`)
  results.heldOut = JSON.parse(readFileSync(join(folder, 'results/losses.json'), 'utf8')).heldOut
  say(`  held-out loss: ${JSON.stringify(results.heldOut)}`)
  return results
}

export const coloredMnistPairs = {
  data: 'mnist',
  ownSteps: true,
  async run(_, { say }) {
    mkdirSync(runs, { recursive: true })
    const time = await train(runs, say)
    return { time, ...(await measure(runs, say)) }
  },
  rows({ time, reconstructed, drawn, told, heldOut }) {
    const percent = v => `${(100 * v).toFixed(1)}%`
    const row = (result, value, least, note = '') => ({
      result,
      bar: least === undefined ? '' : `at least ${percent(least)}`,
      ours: percent(value),
      peer: '',
      met: least === undefined ? undefined : value >= least,
      note,
    })
    return [
      {
        result: 'Coloured MNIST, both stages',
        bar: 'under 60 minutes',
        ours: `${(time.wall / 60).toFixed(1)} minutes`,
        peer: '',
        met: time.wall < 3600,
        note: `${(time.cpu / 60).toFixed(1)} minutes of CPU; packages/igpt/configs/colored-mnist.json`,
      },
      row('reconstructions: digit read by a CNN', reconstructed.digit),
      row('reconstructions: both colours', reconstructed.colors),
      row('images for captions: digit read by a CNN', drawn.digit, 0.9, '500 captions'),
      row('images for captions: digit colour', drawn.ink, 0.97),
      row('images for captions: background colour', drawn.paper, 0.97),
      row('images for captions: both colours', drawn.colors, 0.97),
      row('captions for images: digit', told.digit, 0.95, '2,000 test images'),
      row('captions for images: both colours', told.colors, 0.95),
      row('captions for images: all six words', told.all, 0.7),
      {
        result: 'held-out loss, nats a token',
        bar: '',
        ours: `${heldOut.imageLoss.toFixed(4)} of images, ${heldOut.textLoss.toFixed(4)} of texts`,
        peer: '',
        note: '',
      },
    ]
  },
}
