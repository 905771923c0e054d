// CIFAR-10 with the seeds' defaults: VQ-VAE beside PyTorch's, RQ-VAE beside VQ-VAE, and how much of the codebook is used.
import { join } from 'node:path'
import { Random, tf } from '../../../packages/core/dist/index.js'
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

const share = ({ unused, size }) =>
  `${Math.max(...unused)} of ${size} (${((100 * Math.max(...unused)) / size).toFixed(1)}%)`
const db = value => `${value.toFixed(3)} dB`

export const data = 'cifar10'

export async function run({ train, test, shape }, { steps, folder, say }) {
  const order = batchOrder(train.length / 3072, steps, batch, 0)
  const shared = { images: train, shape, order, batch, rate, clip, say }
  const weights = join(folder, 'vqvae.safetensors')
  const first = await initialWeights('vqvae', weights, () => new VQVAE({ random: new Random(0) }))

  say('VQ-VAE, the seeds’ defaults')
  const vqvae = new VQVAE({ random: new Random(0) })
  vqvae.loadStateDict(first)
  const ms = await trainOurs(vqvae, shared)
  const ours = measure(vqvae, test, shape)
  vqvae.dispose()
  const request = { name: 'vqvae', options: {}, weights, shape, batch, rate, clip }
  const peer = await trainPeer(request, { folder, images: train, test, order, say })

  say('VQ-VAE, codes from k-means, dead ones revived')
  const options = { initCodebook: 'kmeans', deadCodeThreshold: 1, revivalInterval: 10 }
  const revived = new VQVAE({ ...options, random: new Random(0) })
  await trainOurs(revived, shared)
  const alive = measure(revived, test, shape)
  revived.dispose()

  say('RQ-VAE, four levels')
  const rqvae = new RQVAE({ random: new Random(0) })
  await trainOurs(rqvae, shared)
  const residual = measure(rqvae, test, shape)
  rqvae.dispose()

  const peerPsnr = peer && -10 * Math.log10(peer.mse)
  const apart = peer && ours.psnr - peerPsnr
  return {
    versions: peer?.versions,
    rows: [
      {
        result: 'CIFAR-10 VQ-VAE, held-out PSNR',
        bar: 'within 0.2 dB of PyTorch',
        ours: db(ours.psnr),
        peer: peer ? db(peerPsnr) : 'not run',
        met: peer ? Math.abs(apart) <= 0.2 : undefined,
        note: peer
          ? `${apart.toFixed(3)} dB apart; ${ms.toFixed(0)} ms a step beside ${peer.ms.toFixed(0)} ms`
          : '',
      },
      {
        result: 'CIFAR-10 RQ-VAE, 4 levels, held-out PSNR',
        bar: 'at least 1 dB above VQ-VAE',
        ours: db(residual.psnr),
        peer: '',
        met: residual.psnr - ours.psnr >= 1,
        note: `${(residual.psnr - ours.psnr).toFixed(3)} dB above; never chosen per level ${residual.unused.join(', ')} of 512`,
      },
      {
        result: 'Codes never chosen on 1,000 test images, VQ-VAE with the defaults',
        bar: '',
        ours: share(ours),
        peer: peer ? share({ unused: [peer.unused], size: ours.size }) : 'not run',
        note: '',
      },
      {
        result: 'Codes never chosen on 1,000 test images, VQ-VAE started by k-means with revival',
        bar: 'at most 5% of 512',
        ours: share(alive),
        peer: '',
        met: Math.max(...alive.unused) <= 0.05 * alive.size,
        note: `${db(alive.psnr)}; ${JSON.stringify(options)}`,
      },
    ],
  }
}
