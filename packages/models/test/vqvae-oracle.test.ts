import { tf } from '@vq/core'
import { loadSafetensors, type StateDict } from '@vq/core/io'
import { Adam, trainStep } from '@vq/core/optim'
import { VQVAE } from '@vq/models'
import { expect, it } from 'vitest'
import { onBackends } from '../../../test/contract/backends.js'

// A shift right before batch normalisation does nothing: its gradient is rounding noise, which Adam blows up, and the
// running mean follows it.
const idle = /^((encoder\.0|decoder\.4|.*body\.2)\.bias|(encoder\.1|decoder\.5|.*body\.3)\.running_mean)$/

const models: Record<string, () => VQVAE> = {
  igpt: () => VQVAE.igpt({ dim: 8, K: 8, D: 8 }),
  residual: () => new VQVAE({ embeddingDim: 8, numEmbeddings: 16, hiddenDims: [8, 12] }),
}

onBackends(() => {
  it.each(Object.keys(models))(
    '%s: ten training losses and the weights after them are PyTorch’s',
    async name => {
      const path = new URL(`../../../test/oracle/vqvae-${name}.safetensors`, import.meta.url).pathname
      const { tensors } = await loadSafetensors(path)
      const part = (prefix: string): StateDict =>
        Object.fromEntries(
          Object.entries(tensors).flatMap(([key, t]) =>
            key.startsWith(prefix) ? [[key.slice(prefix.length), t]] : [],
          ),
        )
      const model = models[name]()
      model.loadStateDict(part('weights.'))
      const optimizer = new Adam(model, { learningRate: 1e-3 })
      const [steps, ...shape] = tensors.images.shape
      const images = tf.tensor5d(tensors.images.data as Float32Array, [steps, ...shape] as [10, 4, 3, 8, 8])
      const batches = tf.tidy(() => tf.unstack(tf.transpose(images, [0, 1, 3, 4, 2])))
      images.dispose()
      let tensorsAfterFirst = 0
      for (const [i, x] of batches.entries()) {
        const { loss } = trainStep(optimizer, () => model.forward(x), { clipNorm: 1 })
        const expected = tensors.losses.data[i] as number
        expect(Math.abs(loss - expected) / expected).toBeLessThan(1e-4)
        if (i === 0) tensorsAfterFirst = tf.memory().numTensors
        expect(tf.memory().numTensors).toBe(tensorsAfterFirst)
      }
      const after = part('after.')
      for (const [key, { data }] of Object.entries(model.stateDict())) {
        if (name === 'igpt' && idle.test(key)) continue
        const scale = Math.max(...Array.from(after[key].data as Float32Array, v => Math.abs(Number(v))), 1e-3)
        const worst = Math.max(
          ...Array.from(data as Float32Array, (v, j) => Math.abs(Number(v) - Number(after[key].data[j]))),
        )
        expect(worst / scale, key).toBeLessThan(1e-2)
      }
      optimizer.dispose()
      model.dispose()
      tf.dispose(batches)
    },
  )
})
