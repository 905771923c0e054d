// CIFAR-10 with the models' defaults: VQ-VAE beside PyTorch's, RQ-VAE beside VQ-VAE, and how much of the codebook is used.
import { join } from 'node:path'
import { Random, tf } from '../../../packages/core/dist/index.js'
import { loadSafetensors, saveSafetensors } from '../../../packages/core/dist/io/index.js'
import { SquaredError } from '../../../packages/models/dist/evaluate/index.js'
import { RQVAE, VQVAE } from '../../../packages/models/dist/index.js'
import { batchOrder, initialWeights, trainOurs, trainPeer } from './train.mjs'

const batch = 64
const rate = 1e-3
const clip = 1

/** PSNR of the reconstructions of test images [N, 32, 32, 3], and how many codes of each level none of them chose. */
function measure(model, images, shape) {
  const error = new SquaredError()
  const { codebookSize } = model.quantizer
  const levels = model.numQuantizers ?? 1
  const seen = Array.from({ length: levels }, () => new Set())
  const size = shape.reduce((a, b) => a * b)
  const count = images.length / size
  for (let at = 0; at < count; at += 250) {
    const part = images.subarray(at * size, Math.min(count, at + 250) * size)
    tf.tidy(() => {
      const x = tf.tensor(part, [part.length / size, ...shape])
      const codes = model.encodeToIndices(x)
      for (const [i, code] of codes.dataSync().entries()) seen[i % levels].add(code)
      error.add(model.decodeFromIndices(codes).dataSync(), part)
    })
  }
  return { psnr: error.psnr, unused: seen.map(codes => codebookSize - codes.size), size: codebookSize }
}

const share = (unused, size = 512) => `${unused} of ${size} (${((100 * unused) / size).toFixed(1)}%)`
const db = value => `${value.toFixed(3)} dB`
const order = (images, steps, seed = 0) => batchOrder(images.length / 3072, steps, batch, seed)

// Both sides, with the models' defaults, from the weights that PyTorch draws.
async function bothSides({ train, test, shape }, { steps, folder, say }, seed = 0) {
  const weights = join(folder, 'vqvae.safetensors')
  const make = () => new VQVAE({ random: new Random(seed) })
  const first = await initialWeights('vqvae', weights, make, seed)
  const model = make()
  model.loadStateDict(first)
  const batches = order(train, steps, seed)
  const ms = await trainOurs(model, { images: train, shape, order: batches, batch, rate, clip, say })
  const { psnr, unused } = measure(model, test, shape)
  say(`  ours: ${db(psnr)}, ${share(unused[0])} never chosen`)
  model.dispose()
  const request = { name: 'vqvae', options: {}, weights, shape, batch, rate, clip }
  const peer = await trainPeer(request, { folder, images: train, test, order: batches, say })
  return { psnr, unused, ms, peer: peer && { ...peer, psnr: -10 * Math.log10(peer.mse) } }
}

/** The models' defaults, from PyTorch's initial weights. */
export const vqvae = {
  data: 'cifar10',
  run: bothSides,
  rows: ({ psnr, unused, ms, peer }) => [
    {
      result: 'CIFAR-10 VQ-VAE, held-out PSNR',
      bar: 'within 0.2 dB of PyTorch',
      ours: db(psnr),
      peer: peer ? db(peer.psnr) : 'not run',
      met: peer ? Math.abs(psnr - peer.psnr) <= 0.2 : undefined,
      note: peer
        ? `${(psnr - peer.psnr).toFixed(3)} dB apart; ${ms.toFixed(0)} ms a step beside ${peer.ms.toFixed(0)} ms`
        : '',
    },
    {
      result: 'its codes that none of 1,000 test images chose',
      bar: '',
      ours: share(unused[0]),
      peer: peer ? share(peer.unused) : 'not run',
      note: 'uniform start, nothing revives dead codes',
    },
  ],
}

/**
 * PyTorch beside itself: the first run again with initial weights that differ by what float32 rounds. How far apart these end says
 * what a difference between two programs can mean.
 */
export const rounding = {
  data: 'cifar10',
  async run({ train, test, shape }, { steps, folder, say }) {
    const weights = join(folder, 'vqvae.safetensors')
    const first = await initialWeights('vqvae', weights, () => new VQVAE({ random: new Random(0) }))
    const batches = order(train, steps)
    const runs = []
    for (const seed of [1, 2]) {
      const random = new Random(seed)
      const moved = ([name, tensor]) => {
        const noise = random.fillNormal(new Float32Array(tensor.data.length), 0, 2 ** -23)
        return [name, { ...tensor, data: Float32Array.from(tensor.data, (v, i) => v * (1 + noise[i])) }]
      }
      await saveSafetensors(weights, Object.fromEntries(Object.entries(first).map(moved)))
      const request = { name: 'vqvae', options: {}, weights, shape, batch, rate, clip }
      const peer = await trainPeer(request, { folder, images: train, test, order: batches, say })
      if (peer === undefined) return { runs: [] }
      runs.push({ seed, ...peer, psnr: -10 * Math.log10(peer.mse) })
      say(`  PyTorch, weights moved by rounding, seed ${seed}: ${db(runs.at(-1).psnr)}`)
    }
    return { runs, peer: runs[0] }
  },
  rows: ({ runs }, vq) =>
    runs.map(({ seed, psnr, unused }) => ({
      result: `CIFAR-10 VQ-VAE, held-out PSNR of PyTorch, every initial weight times 1 + 2⁻²³ n, n normal, seed ${seed}`,
      bar: '',
      ours: '',
      peer: db(psnr),
      note: `${vq?.peer ? `${db(psnr - vq.peer.psnr)} from PyTorch without it; ` : ''}never chosen ${unused} of 512`,
    })),
}

const others = [1, 2, 3, 4]
const mean = values => values.reduce((a, b) => a + b) / values.length
const spread = values => {
  const middle = mean(values)
  return Math.sqrt(values.reduce((sum, v) => sum + (v - middle) ** 2, 0) / (values.length - 1))
}

/** The same from other weights and with other batches. */
export const vqvaeSeeds = {
  data: 'cifar10',
  async run(data, options) {
    const runs = []
    for (const seed of others) {
      const { psnr, unused, peer } = await bothSides(data, options, seed)
      if (peer === undefined) return { runs: [] }
      options.say(`  seed ${seed}: ours ${db(psnr)}, PyTorch ${db(peer.psnr)}`)
      runs.push({ seed, psnr, unused: unused[0], peer })
    }
    return { runs, peer: runs[0].peer }
  },
  rows: ({ runs }) => {
    const apart = runs.map(({ psnr, peer }) => psnr - peer.psnr)
    const each = runs.map(({ seed, psnr, unused, peer }) => ({
      result: `CIFAR-10 VQ-VAE, held-out PSNR, seed ${seed}`,
      bar: '',
      ours: db(psnr),
      peer: db(peer.psnr),
      note: `never chosen ${unused} and ${peer.unused} of 512`,
    }))
    if (runs.length === 0) return each
    const all = {
      result: 'their mean',
      bar: 'within 0.2 dB of PyTorch',
      ours: db(mean(runs.map(run => run.psnr))),
      peer: db(mean(runs.map(run => run.peer.psnr))),
      met: Math.abs(mean(apart)) <= 0.2,
      note: `${db(mean(apart))} apart, standard error ${db(spread(apart) / Math.sqrt(apart.length))}`,
    }
    return [...each, all]
  },
}

/**
 * The second half of the first from PyTorch's own state. Rounding alone decides which codes come alive early, and with them where a run of
 * 3,000 steps ends; this shows that the two programs do the same.
 */
export const secondHalf = {
  data: 'cifar10',
  async run({ train, test, shape }, { steps, folder, say }) {
    const half = Math.floor(steps / 2)
    const [weights, state] = ['vqvae', 'half'].map(name => join(folder, `${name}.safetensors`))
    await initialWeights('vqvae', weights, () => new VQVAE({ random: new Random(0) }))
    const batches = order(train, steps)
    const request = { name: 'vqvae', options: {}, weights, shape, batch, rate, clip }
    const peer = await trainPeer(request, {
      folder,
      images: train,
      test,
      order: batches,
      say,
      save: { step: half, path: state },
    })
    if (peer === undefined) return {}
    const stored = Object.entries((await loadSafetensors(state)).tensors)
    const isMoment = ([name]) => /^[mv]\./.test(name)
    const model = new VQVAE({ random: new Random(0) })
    model.loadStateDict(Object.fromEntries(stored.filter(entry => !isMoment(entry))))
    const from = { step: half, moments: Object.fromEntries(stored.filter(isMoment)) }
    await trainOurs(model, { images: train, shape, order: batches, batch, rate, clip, say, from })
    const { psnr, unused } = measure(model, test, shape)
    model.dispose()
    return { half, psnr, unused, peer: { ...peer, psnr: -10 * Math.log10(peer.mse) } }
  },
  rows: ({ half, psnr, unused, peer }) => [
    {
      result: `CIFAR-10 VQ-VAE, held-out PSNR, from PyTorch's weights and moments after ${half} steps`,
      bar: 'within 0.2 dB of PyTorch',
      ours: peer ? db(psnr) : 'not run',
      peer: peer ? db(peer.psnr) : 'not run',
      met: peer ? Math.abs(psnr - peer.psnr) <= 0.2 : undefined,
      note: peer ? `never chosen ${unused[0]} and ${peer.unused} of 512` : '',
    },
  ],
}

const lively = { initCodebook: 'kmeans', deadCodeThreshold: 1, revivalInterval: 10 }

/** The same with codes that start from data and are revived. */
export const codes = {
  data: 'cifar10',
  async run({ train, test, shape }, { steps, say }) {
    const model = new VQVAE({ ...lively, random: new Random(0) })
    await trainOurs(model, { images: train, shape, order: order(train, steps), batch, rate, clip, say })
    const { psnr, unused } = measure(model, test, shape)
    model.dispose()
    return { psnr, unused }
  },
  rows: ({ psnr, unused }) => [
    {
      result: 'CIFAR-10 VQ-VAE with live codes: those that none of 1,000 test images chose',
      bar: 'at most 5% of 512',
      ours: share(unused[0]),
      peer: '',
      met: unused[0] <= 0.05 * 512,
      note: `${db(psnr)}; \`${JSON.stringify(lively)}\``,
    },
  ],
}

/** Four levels, otherwise the defaults. */
export const rqvae = {
  data: 'cifar10',
  async run({ train, test, shape }, { steps, say }) {
    const model = new RQVAE({ random: new Random(0) })
    await trainOurs(model, { images: train, shape, order: order(train, steps), batch, rate, clip, say })
    const { psnr, unused } = measure(model, test, shape)
    model.dispose()
    return { psnr, unused }
  },
  /** Beside the VQ-VAE's figure, where it was measured over as many steps. */
  rows: ({ psnr, unused }, vq) => [
    {
      result: 'CIFAR-10 RQ-VAE, 4 levels, held-out PSNR',
      bar: 'at least 1 dB above VQ-VAE',
      ours: db(psnr),
      peer: '',
      met: vq && psnr - vq.psnr >= 1,
      note: `${vq ? `${(psnr - vq.psnr).toFixed(3)} dB above; ` : ''}never chosen per level ${unused.join(', ')} of 512`,
    },
  ],
}
