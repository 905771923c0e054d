import { tf } from '@vq/core'
import { loadSafetensors, type StateDict } from '@vq/core/io'
import { type Module, toDisk } from '@vq/core/nn'
import { Adam, trainStep, valueAndGradients } from '@vq/core/optim'
import { AutoEncoder, VAE, VQVAE2 } from '@vq/models'
import { expect, it } from 'vitest'
import { onBackends } from '../../../test/contract/backends.js'

type Trained = Module & { forward(x: tf.Tensor, options?: { noise: tf.Tensor }): { loss: tf.Scalar } }
const small = { latentDim: 3, hiddenDims: [4, 6], inputSize: [8, 12] as [number, number] }
const models: Record<string, () => Trained> = {
  autoencoder: () => new AutoEncoder(small),
  'vae-gaussian': () => new VAE({ ...small, beta: 2, variance: 0.5 }),
  'vae-bernoulli': () => new VAE({ ...small, inChannels: 1, normalization: 'none', likelihood: 'bernoulli' }),
  vqvae2: () =>
    new VQVAE2({
      embeddingDim: 4,
      numEmbeddings: 16,
      hiddenDims: [6, 8],
      topHiddenDims: [5],
      numResidualLayers: 1,
      residualHiddenDim: 3,
    }),
}

// A shift right before batch normalisation does nothing: its gradient is rounding noise, which Adam blows up.
const idle = (name: string): RegExp =>
  name === 'vae-bernoulli' || name === 'vqvae2'
    ? /^$/
    : /^((encoder\.[03]|decoder\.3)\.bias|(encoder\.[14]|decoder\.4)\.running_mean)$/

function expectClose(
  got: ArrayLike<number | bigint>,
  wanted: ArrayLike<number | bigint>,
  tolerance: number,
  what: string,
): void {
  const scale = Math.max(...Array.from(wanted, v => Math.abs(Number(v))), 1e-3)
  const worst = Math.max(...Array.from(got, (v, i) => Math.abs(Number(v) - Number(wanted[i]))))
  expect(worst / scale, what).toBeLessThan(tolerance)
}

onBackends(() => {
  it.each(Object.keys(models))(
    '%s: gradients, five training losses and the weights after them are PyTorch’s',
    async name => {
      const path = new URL(`../../../test/oracle/model-${name}.safetensors`, import.meta.url).pathname
      const { tensors } = await loadSafetensors(path)
      const part = (prefix: string): StateDict =>
        Object.fromEntries(
          Object.entries(tensors).flatMap(([key, t]) =>
            key.startsWith(prefix) ? [[key.slice(prefix.length), t]] : [],
          ),
        )
      const model = models[name]!()
      model.loadStateDict(part('weights.'))
      const slices = (key: string, permutation: number[]): tf.Tensor[] => {
        const { data, shape } = tensors[key]!
        return tf.tidy(() => tf.unstack(tf.transpose(tf.tensor(data as Float32Array, shape), permutation)))
      }
      const batches = slices('images', [0, 1, 3, 4, 2])
      const noises = tensors.noise === undefined ? [] : slices('noise', [0, 1, 2])
      const run = (i: number) => model.forward(batches[i]!, ...(noises[i] ? [{ noise: noises[i] }] : []))

      const start = model.stateDict()
      const parameters = model.namedParameters()
      const { value, gradients } = valueAndGradients(
        () => run(0).loss,
        parameters.map(p => p.variable),
      )
      const wanted = part('gradients.')
      expect(parameters.map(p => p.name).sort()).toEqual(Object.keys(wanted).sort())
      for (const [i, { name: key, variable, layout }] of parameters.entries()) {
        if (idle(name).test(key)) continue
        const found = toDisk(gradients[i]!.dataSync() as Float32Array, variable.shape, layout)
        expectClose(found, wanted[key]!.data as Float32Array, 1e-4, `gradient of ${key}`)
      }
      tf.dispose([value, ...gradients.filter(g => g !== null)])
      model.loadStateDict(start) // the codebooks and statistics have moved

      const optimizer = new Adam(model, { learningRate: 1e-3 })
      for (const i of batches.keys()) {
        const { loss } = trainStep(optimizer, () => run(i), { clipNorm: 1 })
        const expected = tensors.losses!.data[i] as number
        expect(Math.abs(loss - expected) / expected).toBeLessThan(2e-5)
      }
      const after = part('after.')
      for (const [key, { data }] of Object.entries(model.stateDict()))
        if (!idle(name).test(key)) expectClose(data, after[key]!.data, 5e-3, key)

      if (model instanceof VAE) {
        model.loadStateDict(after)
        model.eval()
        const vae = model
        const out = tf.tidy(() => {
          const { reconstructionLoss, klLoss } = vae.forward(batches[0]!, { noise: noises[0]! })
          return [klLoss, reconstructionLoss]
        })
        const [kl, reconstruction] = out.map(t => t.dataSync()[0]!) as [number, number]
        expect(kl).toBeCloseTo(tensors.kl!.data[0] as number, 4)
        tf.dispose(out)
        const constant = name === 'vae-gaussian' ? 0.5 * 8 * 12 * 3 * Math.log(2 * Math.PI * 0.5) : 0
        const oracle = tensors.elbo!.data[0] as number
        expect(Math.abs(-reconstruction - constant - kl - oracle) / Math.abs(oracle)).toBeLessThan(1e-5)
      }
      optimizer.dispose()
      model.dispose()
      tf.dispose([batches, noises])
    },
  )
})
