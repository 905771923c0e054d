import { meanSquaredError, tf } from '@vq/core'
import { loadSafetensors, type StoredTensor, toTensor } from '@vq/core/io'
import { Module } from '@vq/core/nn'
import { Adam, trainStep } from '@vq/core/optim'
import {
  type BaseQuantizer,
  ResidualVQ,
  type ResidualVQOptions,
  SimVQ,
  VectorQuantizer,
  type VectorQuantizerOptions,
} from '@vq/quantizers'
import { expect, it } from 'vitest'
import { onBackends } from '../../../test/contract/backends.js'

const path = new URL('../../../test/oracle/quantizers.safetensors', import.meta.url).pathname
const { tensors } = await loadSafetensors(path)
const numEmbeddings = 8

// As the cases of test/oracle/quantizers.py.
const vq =
  (options: Partial<VectorQuantizerOptions> = {}) =>
  (codes: Float32Array): VectorQuantizer =>
    new VectorQuantizer({ numEmbeddings, embeddingDim: 4, decay: 0.8, initCodebook: codes, ...options })
const residual =
  (numQuantizers: number, options: Partial<ResidualVQOptions> = {}) =>
  (codes: Float32Array): ResidualVQ => {
    const each = numEmbeddings * 4
    let level = 0
    const initCodebook = (): Float32Array => codes.slice(level * each, ++level * each)
    return new ResidualVQ({
      numEmbeddings,
      embeddingDim: 4,
      numQuantizers,
      decay: 0.8,
      initCodebook,
      ...options,
    })
  }
const cosine = { metric: 'cosine' } as const
const gradient = { codebookUpdate: 'gradient' } as const
const cases: Record<string, (codes: Float32Array) => BaseQuantizer> = {
  ema: vq(),
  gradient: vq({ ...gradient, commitmentCost: 0.5 }),
  learnable: vq({ codebookUpdate: 'learnable' }),
  rotation: vq({ estimator: 'rotation' }),
  projection: vq({ ...gradient, estimator: 'projection' }),
  cosine: vq(cosine),
  'cosine-gradient': vq({ ...cosine, ...gradient }),
  'cross-entropy': vq({ commitment: 'cross-entropy' }),
  'cross-entropy-cosine': vq({ ...cosine, ...gradient, commitment: 'cross-entropy' }),
  diversity: vq({ ...gradient, diversityWeight: 0.3, diversityTemperature: 0.5 }),
  'diversity-cosine': vq({ ...cosine, diversityWeight: 0.3, diversityTemperature: 0.2 }),
  orthogonal: vq({ ...gradient, orthogonalWeight: 2 }),
  heads: vq({ heads: 2, embeddingDim: 2 }),
  'separate-heads': vq({ heads: 2, embeddingDim: 2, separateCodebooks: true }),
  'separate-heads-gradient': vq({
    ...gradient,
    heads: 2,
    embeddingDim: 2,
    separateCodebooks: true,
    diversityWeight: 0.1,
  }),
  residual: residual(3),
  'residual-level': residual(3, { estimatorScope: 'level' }),
  'residual-level-rotation': residual(2, { estimatorScope: 'level', estimator: 'rotation' }),
  'residual-gradient': residual(3, { ...gradient, estimator: 'rotation' }),
  'residual-learnable': residual(2, { codebookUpdate: 'learnable' }),
  'residual-shared': residual(3, { sharedCodebook: true }),
  sim: initCodebook => new SimVQ({ numEmbeddings, embeddingDim: 4, initCodebook }),
  'sim-rotation': initCodebook =>
    new SimVQ({ numEmbeddings, embeddingDim: 4, initCodebook, estimator: 'rotation' }),
  'residual-shared-gradient': residual(2, { ...gradient, sharedCodebook: true }),
}

/** x → x·A → quantizer → ·B */
class Bottleneck extends Module {
  readonly a
  readonly b
  readonly quantizer
  constructor(a: tf.Tensor2D, b: tf.Tensor2D, quantizer: BaseQuantizer) {
    super()
    this.a = this.addParameter('a', a)
    this.b = this.addParameter('b', b)
    this.quantizer = this.addModule('quantizer', quantizer)
  }
  forward(x: tf.Tensor2D): { loss: tf.Scalar; indices: tf.Tensor } {
    const { quantized, loss, indices } = this.quantizer.forward(tf.matMul(x, this.a))
    const error = meanSquaredError(tf.matMul(quantized as tf.Tensor2D, this.b), x)
    return { loss: tf.add(error, loss), indices }
  }
}

function expectClose(
  found: ArrayLike<number>,
  wanted: ArrayLike<number>,
  tolerance: number,
  what: string,
): void {
  expect(found.length, what).toBe(wanted.length)
  const scale = Array.from(wanted).reduce((most, x) => Math.max(most, Math.abs(x)), 1e-3)
  const worst = Array.from(wanted, (w, i) => Math.abs(w - found[i])).reduce((a, b) => Math.max(a, b), 0)
  expect(worst / scale, what).toBeLessThan(tolerance)
}

const slice = (t: StoredTensor, step: number): number[] => {
  const each = t.data.length / 10
  return Array.from(t.data.subarray(step * each, (step + 1) * each) as Float32Array, Number)
}

// As they are kept: for cosine with gradients not of unit length.
function codesOf(quantizer: BaseQuantizer): ArrayLike<number> {
  if (quantizer instanceof VectorQuantizer) return quantizer.table.dataSync()
  const codes = quantizer.codebook()
  const values = codes.dataSync()
  codes.dispose()
  return values
}

onBackends(() => {
  it.each(Object.keys(cases))('%s: ten training steps are those of float64', name => {
    const of = (key: string): StoredTensor => tensors[`${name}.${key}`]
    const quantizer = cases[name](of('codes').data as Float32Array)
    const model = new Bottleneck(
      toTensor(of('a')) as tf.Tensor2D,
      toTensor(of('b')) as tf.Tensor2D,
      quantizer,
    )
    const optimizer = new Adam(model, { learningRate: 1e-2 })
    for (let step = 0; step < 10; step++) {
      const x = tf.tensor2d(slice(of('batches'), step), [24, 6])
      let indices: number[] = []
      const { loss } = trainStep(optimizer, () => {
        const out = model.forward(x)
        indices = Array.from(out.indices.dataSync())
        return { loss: out.loss }
      })
      x.dispose()
      expect(indices, `codes of step ${step}`).toEqual(slice(of('indices'), step))
      expectClose([loss], [slice(of('losses'), step)[0]], 2e-5, `loss of step ${step}`)
      expectClose(codesOf(quantizer), slice(of('codes_after'), step), 2e-4, `codes after step ${step}`)
      expectClose(model.a.dataSync(), slice(of('a_after'), step), 2e-4, `encoder after step ${step}`)
    }
    optimizer.dispose()
    model.dispose()
  })
})
