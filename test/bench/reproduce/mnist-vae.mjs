// The test ELBO of a VAE of MNIST, binarised at one half, beside the same model's in PyTorch.
import { join } from 'node:path'
import { Random, tf } from '../../../packages/core/dist/index.js'
import { saveSafetensors } from '../../../packages/core/dist/io/index.js'
import { VAE } from '../../../packages/models/dist/index.js'
import { batchOrder, trainOurs, trainPeer } from './train.mjs'

const [batch, rate, latentDim, hiddenDims] = [128, 1e-3, 20, [32, 64]]

export const data = 'mnist'

export async function run({ train, test, shape }, { steps, folder, say }) {
  const binary = images => images.map(v => (v > 0.5 ? 1 : 0))
  const [images, held] = [train, test].map(binary)
  const order = batchOrder(images.length / 784, steps, batch, 0)
  const noise = new Random(1).fillNormal(new Float32Array(steps * batch * latentDim))
  const vae = new VAE({
    inChannels: 1,
    latentDim,
    hiddenDims,
    inputSize: 28,
    likelihood: 'bernoulli',
    random: new Random(0),
  })
  const weights = join(folder, 'vae.safetensors')
  await saveSafetensors(weights, vae.stateDict())
  const perStep = batch * latentDim
  const extra = step => [
    { noise: tf.tensor2d(noise.subarray(step * perStep, (step + 1) * perStep), [batch, latentDim]) },
  ]
  const ms = await trainOurs(vae, { images, shape, order, batch, rate, say, extra })
  let sum = 0
  const count = held.length / 784
  const random = new Random(2)
  for (let at = 0; at < count; at += 500) {
    const x = tf.tensor(held.subarray(at * 784, (at + 500) * 784), [500, ...shape])
    sum += vae.elbo(x, { random }).elbo * 500
    x.dispose()
  }
  vae.dispose()
  const elbo = sum / count
  const options = {
    channels: 1,
    latent: latentDim,
    hidden: hiddenDims,
    size: [28, 28],
    likelihood: 'bernoulli',
  }
  const request = { name: 'vae', options, weights, shape, batch, rate }
  const peer = await trainPeer(request, { folder, images, test: held, order, noise, say })
  return { elbo, ms, peer }
}

export const rows = ({ elbo, ms, peer }) => [
  {
    result: 'MNIST VAE, test ELBO (sum over pixels, mean over images)',
    bar: 'within 1 nat of PyTorch',
    ours: `${elbo.toFixed(3)} nats`,
    peer: peer ? `${peer.elbo.toFixed(3)} nats` : 'not run',
    met: peer ? Math.abs(elbo - peer.elbo) <= 1 : undefined,
    note: peer
      ? `${(elbo - peer.elbo).toFixed(3)} nats apart; ${ms.toFixed(0)} ms a step beside ${peer.ms.toFixed(0)} ms`
      : '',
  },
]
