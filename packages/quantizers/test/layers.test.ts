import * as tfl from '@tensorflow/tfjs-layers'
import { Random, random, tf, VqConfigError, VqShapeError, VqValueError } from '@vq/core'
import { BaseQuantizer, type RowsOutput, RQKMeans } from '@vq/quantizers'
import {
  GumbelQuantizerLayer,
  type LayerOptions,
  LFQLayer,
  QuantizerLayer,
  ResidualVQLayer,
  VectorQuantizerLayer,
} from '@vq/quantizers/layers'
import { beforeEach, describe, expect, test } from 'vitest'
import { backends, use } from '../../../test/contract/backends.js'
import { type AnyLayer, layerCases, sample, values } from './layer-cases.js'

beforeEach(() => use('vq-cpu'))

const { dense, Layer } = { ...tfl.layers }
const seeded = (seed: number) => tfl.initializers.glorotUniform({ seed })

// 8 numbers → 6 → codes → 8.
function autoencoder(layer: AnyLayer): tfl.Sequential {
  return tfl.sequential({
    layers: [
      dense({ units: 6, inputShape: [8], activation: 'tanh', kernelInitializer: seeded(1) }),
      layer,
      dense({ units: 8, kernelInitializer: seeded(2) }),
    ],
  })
}

// Vectors near a plane, so that there is something to learn.
function data(n = 64): tf.Tensor2D {
  return tf.tidy(() => tf.matMul(sample([n, 2], 3) as tf.Tensor2D, sample([2, 8], 4) as tf.Tensor2D))
}

const fitOptions = { batchSize: 32, shuffle: false, verbose: 0 }

describe.each(Object.entries(layerCases))('%s', (_, make) => {
  test('in a sequential model: fit lowers the loss, predict gives the same bits and changes nothing', async () => {
    const layer = make({ seed: 5, name: 'vq' })
    const model = autoencoder(layer)
    model.compile({
      optimizer: tf.train.adam(0.01),
      loss: 'meanSquaredError',
      metrics: [layer.metric('loss')],
    })
    const x = data()
    const { history } = await model.fit(x, x, { epochs: 25, ...fitOptions })
    const loss = history.loss as number[]
    const own = history.vq_loss as number[]
    expect(loss.at(-1)).toBeLessThan(0.8 * loss[0]!)
    expect(own.every(Number.isFinite)).toBe(true)
    const before = layer.getWeights().map(values)
    const [a, b] = [model.predict(x), model.predict(x)] as tf.Tensor[]
    expect(values(b!)).toEqual(values(a!))
    await model.evaluate(x, x, { batchSize: 32 })
    expect(layer.getWeights().map(values)).toEqual(before)
    tf.dispose([x, a!, b!])
    model.dispose()
  })

  test.each(backends)(
    'gradients, loss and state are those of the quantizer, to the bit, on %s',
    async backend => {
      await use(backend)
      const layer = make({ seed: 5, name: 'vq' })
      const { quantizer } = make({ seed: 5, name: 'other' })
      const z = tf.variable(sample([2, 9, 6]))
      tf.dispose(layer.apply(z) as tf.Tensor) // builds it
      const direct = quantizer.train()
      const learned = direct.namedParameters().map(p => p.variable)
      const weights = sample([2, 9, 6], 8)
      for (let step = 0; step < 3; step++) {
        const expected = tf.variableGrads(() => {
          const { quantized, loss } = direct.forward(z)
          return tf.add(tf.sum(tf.mul(quantized, weights)), loss)
        }, [z, ...learned])
        const own = layer.trainableWeights.map(w => w.read() as tf.Variable)
        const actual = tf.variableGrads(() => {
          const quantized = layer.apply(z, { training: true }) as tf.Tensor
          const [loss] = layer.calculateLosses()
          return tf.add(tf.sum(tf.mul(quantized, weights)), loss as tf.Scalar)
        }, [z, ...own])
        expect(values(actual.value)).toEqual(values(expected.value))
        expect(own.length).toBe(learned.length)
        const names = [
          [z, ...learned],
          [z, ...own],
        ].map(list => list.map(v => v.name))
        for (const [i, name] of names[0]!.entries())
          expect(values(actual.grads[names[1]![i]!]!)).toEqual(values(expected.grads[name]!))
        expect(layer.quantizer.stateDict()).toEqual(direct.stateDict())
        tf.dispose([expected, actual])
      }
      tf.dispose([z, weights])
      layer.dispose()
      direct.dispose()
    },
  )

  test('survives JSON, and saving with all its state: training goes on with the same numbers', async () => {
    const layer = make({ seed: 5, name: 'vq' })
    const model = autoencoder(layer)
    const compile = { optimizer: tf.train.sgd(0.01), loss: 'meanSquaredError' }
    model.compile(compile)
    const x = data()
    await model.fit(x, x, { epochs: 2, ...fitOptions })

    const fresh = await tfl.models.modelFromJSON(JSON.parse(model.toJSON() as string))
    const again = fresh.getLayer('vq') as AnyLayer
    expect(again.constructor).toBe(layer.constructor)
    expect(again.getConfig()).toEqual(layer.getConfig())
    expect(again.outputShape).toEqual([null, 6])

    let saved: tf.io.ModelArtifacts | undefined
    await model.save(
      tf.io.withSaveHandler(async artifacts => {
        saved = artifacts
        return { modelArtifactsInfo: tf.io.getModelArtifactsInfoForJSON(artifacts) }
      }),
    )
    const loaded = (await tfl.loadLayersModel(tf.io.fromMemory(saved!))) as tfl.LayersModel
    const back = loaded.getLayer('vq') as AnyLayer
    expect(back.quantizer.stateDict()).toEqual(layer.quantizer.stateDict())
    expect(back.getConfig()).toEqual(layer.getConfig())
    const outputs = [model, loaded].map(m => values(m.predict(x) as tf.Tensor))
    expect(outputs[1]).toEqual(outputs[0])
    loaded.compile({ ...compile, optimizer: tf.train.sgd(0.01) })
    const histories = []
    for (const m of [model, loaded]) histories.push((await m.fit(x, x, { epochs: 2, ...fitOptions })).history)
    expect(histories[1]).toEqual(histories[0])
    expect(back.quantizer.stateDict()).toEqual(layer.quantizer.stateDict())
    for (const m of [model, fresh, loaded]) m.dispose()
  })

  test('lists its weights, counts them, freezes as a whole, keeps no tensors', async () => {
    const none = tf.memory().numTensors
    const layer = make({ seed: 5 })
    const model = autoencoder(layer)
    const optimizer = tf.train.sgd(0.01)
    model.compile({ optimizer, loss: 'meanSquaredError' })
    const { quantizer } = layer
    const learned = quantizer.namedParameters().map(p => p.variable)
    const moved = quantizer.namedBuffers().map(p => p.variable)
    expect(layer.trainableWeights.map(w => w.read())).toEqual(learned)
    expect(layer.nonTrainableWeights.map(w => w.read())).toEqual(expect.arrayContaining(moved))
    const sizes = Object.values(quantizer.stateDict()).map(({ data }) => (data as ArrayLike<number>).length)
    expect(layer.countParams()).toBe(sizes.reduce((a, b) => a + b, 0))

    const x = data()
    await model.fit(x, x, { epochs: 1, ...fitOptions }) // a start from data is made by now
    const before = quantizer.stateDict()
    layer.trainable = false
    expect(layer.trainableWeights).toEqual([])
    expect(layer.getConfig().trainable).toBe(false)
    model.compile({ optimizer, loss: 'meanSquaredError' })
    await model.fit(x, x, { epochs: 1, ...fitOptions })
    expect(quantizer.stateDict()).toEqual(before)
    layer.trainable = true
    expect(layer.trainableWeights.length).toBe(learned.length)

    const steady = tf.memory().numTensors
    await model.fit(x, x, { epochs: 2, ...fitOptions })
    expect(tf.memory().numTensors).toBe(steady)
    x.dispose()
    optimizer.dispose()
    model.dispose()
    expect(tf.memory().numTensors).toBe(none)
  })
})

test('tfjs-layers and this package share one tfjs-core', () => {
  expect(Layer.prototype).toBeInstanceOf(tf.serialization.Serializable)
  expect(QuantizerLayer.prototype).toBeInstanceOf(tfl.layers.Layer)
})

const vq = (options: object = {}): VectorQuantizerLayer =>
  new VectorQuantizerLayer({ numEmbeddings: 8, embeddingDim: 4, seed: 2, ...options })

describe('in functional models', () => {
  test('a layer that is called twice adds both losses to what fit reports', async () => {
    const layer = vq()
    const a = tfl.input({ shape: [4] })
    const b = tfl.input({ shape: [3, 4] })
    const outputs = [layer.apply(a), layer.apply(b)] as tfl.SymbolicTensor[]
    const model = tfl.model({ inputs: [a, b], outputs })
    expect(model.outputs.map(o => o.shape)).toEqual([
      [null, 4],
      [null, 3, 4],
    ])
    // A trained weight is wanted by fit; it takes no part in the loss.
    const [x, y] = [sample([5, 4]), sample([2, 3, 4], 2)]
    const { quantizer } = vq()
    const parts = [x, y].map(z => values(quantizer.train().forward(z).loss)[0]!)
    const scale = tf.variable(tf.scalar(1))
    const { value } = tf.variableGrads(() => {
      const out = model.apply([tf.mul(x, scale), tf.mul(y, scale)], { training: true }) as tf.Tensor[]
      return tf.add(tf.mul(tf.sum(out[0]!), 0), tf.addN(model.calculateLosses())) as tf.Scalar
    }, [scale])
    expect(values(value)[0]).toBeCloseTo(parts[0]! + parts[1]!, 6)
  })

  // The model inside tidies up after its layers, which must not take the loss away.
  test('a quantizer within a model within a model trains as it does without', async () => {
    const x = data()
    const histories: unknown[] = []
    for (const nested of [false, true]) {
      const input = tfl.input({ shape: [8] })
      const layer = vq()
      const inside = [dense({ units: 4, kernelInitializer: seeded(1) }), layer]
      const inner = tfl.input({ shape: [8] })
      const chain = (from: tfl.SymbolicTensor) =>
        inside.reduce((t, l) => l.apply(t) as tfl.SymbolicTensor, from)
      const codes = nested
        ? (tfl.model({ inputs: inner, outputs: chain(inner) }).apply(input) as tfl.SymbolicTensor)
        : chain(input)
      const out = dense({ units: 8, kernelInitializer: seeded(2) }).apply(codes) as tfl.SymbolicTensor
      const model = tfl.model({ inputs: input, outputs: out })
      model.compile({ optimizer: tf.train.sgd(0.05), loss: 'meanSquaredError' })
      const { history } = await model.fit(x, x, { epochs: 3, ...fitOptions })
      histories.push([history.loss, layer.quantizer.stateDict()])
    }
    expect(histories[1]).toEqual(histories[0])
  })

  test('a frozen model around it stops moving averages', async () => {
    const layer = vq()
    const inner = tfl.sequential({ layers: [dense({ units: 4, inputShape: [8] }), layer] })
    const input = tfl.input({ shape: [8] })
    const codes = inner.apply(input) as tfl.SymbolicTensor
    const model = tfl.model({
      inputs: input,
      outputs: dense({ units: 8 }).apply(codes) as tfl.SymbolicTensor,
    })
    inner.trainable = false
    model.compile({ optimizer: tf.train.sgd(0.05), loss: 'meanSquaredError' })
    const before = layer.quantizer.stateDict()
    const x = data()
    await model.fit(x, x, { epochs: 1, ...fitOptions })
    expect(layer.quantizer.stateDict()).toEqual(before)
    inner.trainable = true
    model.compile({ optimizer: tf.train.sgd(0.05), loss: 'meanSquaredError' })
    await model.fit(x, x, { epochs: 1, ...fitOptions })
    expect(layer.quantizer.stateDict()).not.toEqual(before)
  })

  test('masks of layers before leave steps out', () => {
    const layer = vq({ initCodebook: new Random(3).fillNormal(new Float32Array(32)) })
    const input = tfl.input({ shape: [3, 4] })
    const masked = tfl.layers.masking({ maskValue: 0 }).apply(input) as tfl.SymbolicTensor
    const model = tfl.model({ inputs: input, outputs: layer.apply(masked) as tfl.SymbolicTensor })
    const z = tf.mul(sample([1, 3, 4]), tf.tensor3d([[[1], [0], [1]]]))
    const out = values(model.predict(z) as tf.Tensor)
    const mask = tf.tensor2d([1, 0, 1], [1, 3], 'bool')
    expect(out).toEqual(values(layer.quantizer.forward(z, { mask }).quantized))
    expect(out.slice(4, 8)).toEqual([0, 0, 0, 0])
    expect(out.slice(0, 4)).not.toEqual([0, 0, 0, 0])
  })
})

test('the loss of fit is the model’s own and the quantizer’s; evaluate gives the model’s own', async () => {
  const layer = vq({ name: 'codes', inputShape: [4] })
  const model = tfl.sequential({ layers: [layer, dense({ units: 4 })] })
  const metrics = ['loss', 'perplexity', 'commitment'].map(of => layer.metric(of))
  model.compile({ optimizer: tf.train.sgd(0), loss: 'meanSquaredError', metrics: ['mse', ...metrics] })
  const z = sample([32, 4])
  const { history } = await model.fit(z, z, { epochs: 1, ...fitOptions })
  const [loss, mse, own, perplexity, commitment] = [
    'loss',
    'mse',
    'codes_loss',
    'codes_perplexity',
    'codes_commitment',
  ].map(key => (history[key] as number[])[0]!)
  expect(loss).toBeCloseTo(mse! + own!, 6)
  expect(commitment).toBe(own)
  expect(layer.lastBatch).toEqual({ loss: own, losses: { commitment }, perplexity })
  const expected = vq().quantizer.train().forward(z)
  expect(own).toBe(values(expected.loss)[0])
  expect(perplexity).toBe(values(expected.perplexity)[0])
  const [evaluated, evaluatedMse] = (model.evaluate(z, z) as tf.Scalar[]).map(t => values(t)[0]!)
  expect(evaluated).toBeCloseTo(evaluatedMse!, 6)
})

test('a loss that no model asked for is not added to a later step', () => {
  const layer = vq()
  const z = sample([5, 4])
  const scale = tf.variable(tf.scalar(1))
  const step = (takes: boolean) =>
    tf.variableGrads(() => {
      const out = layer.apply(tf.mul(z, scale), { training: true }) as tf.Tensor
      return tf.addN([tf.mul(tf.sum(out), 0), ...(takes ? layer.calculateLosses() : [])] as tf.Scalar[])
    }, [scale]).value
  step(false)
  const before = tf.memory().numTensors
  expect(values(step(true))[0]).toBe(layer.lastBatch!.loss)
  expect(tf.memory().numTensors).toBeLessThanOrEqual(before + 2) // the value and the gradient
  expect(layer.calculateLosses().map(t => values(t as tf.Tensor))).toEqual([[0]])
})

test('loading a model leaves the global generator alone, and brings a lowered temperature back', async () => {
  const layer = new GumbelQuantizerLayer({ numEmbeddings: 5, embeddingDim: 4, inputShape: [4] })
  layer.quantizer.temperature = 0.25
  const model = tfl.sequential({ layers: [layer] })
  const json = JSON.parse(model.toJSON() as string)
  random.seed(7)
  const loaded = await tfl.models.modelFromJSON(json)
  const drawn = random.uniform()
  expect((loaded.layers[0] as GumbelQuantizerLayer).quantizer.temperature).toBe(0.25)
  // One seed of a layer's first codes is drawn, and nothing is set back.
  random.seed(7)
  random.integer(2 ** 53 - 1)
  expect(drawn).toBe(random.uniform())
})

test('options are the quantizer’s and refused by it; shapes are refused by name', () => {
  expect(() => vq({ numEmbeddings: 0 })).toThrow(VqConfigError)
  expect(() => vq({ seed: -1 })).toThrow(/seed to be a whole number/)
  expect(() => vq({ random: new Random(1) })).toThrow(/seed or random, not both/)
  expect(() => new LFQLayer(undefined as never)).toThrow(VqConfigError)
  const named = vq({ name: 'codes' })
  expect(() => named.apply(tfl.input({ shape: [5] }))).toThrow(VqShapeError)
  expect(() => named.computeOutputShape([null, 5])).toThrow(
    /codes: expected vectors \[..., 4\], received \[null, 5\]/,
  )
  expect(named.computeOutputShape([null, null, 4])).toEqual([null, null, 4])
  expect(() => named.apply(tf.fill([2, 4], Number.NaN))).toThrow(VqValueError)
  expect(() => vq().metric('loss')(tf.scalar(0), tf.scalar(0))).toThrow(/a batch to have passed/)
  named.apply(sample([2, 4]))
  expect(() => named.metric('codebook')(tf.scalar(0), tf.scalar(0))).toThrow(/losses \(commitment\)/)
})

test('a configuration holds the options that JSON can hold', () => {
  const nested = { later: { width: 3, parts: [{ on: true }] } }
  const others = { initCodebook: new Float32Array(32), random: new Random(1), hook: { sum: () => {} } }
  const config = vq({ ...nested, ...others, seed: undefined, decay: 0.9, name: 'codes' }).getConfig()
  const options = { numEmbeddings: 8, embeddingDim: 4, decay: 0.9, ...nested }
  expect(config).toEqual({ name: 'codes', trainable: true, ...options })
})

test('weights can be read, set and given to another layer; a layer never used frees its own', () => {
  const [a, b] = [vq(), vq({ seed: 3, initCodebook: 'kmeans' })] as const
  a.build([null, 4])
  b.build([null, 4])
  expect(b.weights.map(w => w.originalName)).toEqual(['codebook', 'counts', 'sums', 'initialized'])
  expect(b.quantizer.ready).toBe(false)
  const initialized = tf.scalar(1, 'int32')
  b.setWeights([...a.getWeights(), initialized])
  expect(b.quantizer.ready).toBe(true)
  expect(values(b.quantizer.codebook())).toEqual(values(a.quantizer.codebook()))
  expect(values(b.getWeights()[3]!)).toEqual([1])
  expect(() => a.setWeights([initialized])).toThrow(/expecting 3 weights/)
  const before = tf.memory().numTensors
  vq().dispose()
  expect(tf.memory().numTensors).toBe(before)
})

describe('a quantizer of one’s own', () => {
  // Signs times a learned scale; it counts its training batches beside the weights.
  class Signs extends BaseQuantizer {
    readonly dim: number
    readonly codebookSize: number = 2
    protected override readonly codesPerVector: number
    readonly scale: tf.Variable
    batchesSeen = 0
    constructor({ dim }: { dim: number }) {
      super()
      this.dim = dim
      this.codesPerVector = dim
      this.scale = this.addParameter('scale_of_all', tf.scalar(0.5))
    }
    protected encodeRows(rows: tf.Tensor2D): tf.Tensor {
      return tf.cast(tf.greater(rows, 0), 'int32')
    }
    protected decodeRows(indices: tf.Tensor): tf.Tensor2D {
      return tf.mul(tf.sub(tf.mul(indices, 2), 1), this.scale)
    }
    protected quantizeRows(rows: tf.Tensor2D): RowsOutput {
      if (this.training) this.batchesSeen++
      const indices = this.encodeRows(rows)
      const quantized = this.decodeRows(indices)
      return { quantized, indices, losses: { distance: tf.mean(tf.squaredDifference(quantized, rows)) } }
    }
    codebook(): tf.Tensor {
      return tf.mul(tf.tensor1d([-1, 1]), this.scale)
    }
    override extraState(): unknown {
      return { batchesSeen: this.batchesSeen }
    }
    override loadExtraState(state: unknown): void {
      this.batchesSeen = (state as { batchesSeen: number }).batchesSeen
    }
  }
  class SignsLayer extends QuantizerLayer<Signs> {
    static className = 'SignsLayer'
    constructor(options: { dim: number } & LayerOptions) {
      super(options, Signs)
    }
  }
  tf.serialization.registerClass(SignsLayer)

  test('trains and is saved as any other', async () => {
    const layer = new SignsLayer({ dim: 3, inputShape: [3] })
    const model = tfl.sequential({ layers: [layer] })
    model.compile({ optimizer: tf.train.sgd(0.125), loss: 'meanSquaredError' })
    const x = tf.mul(tf.sign(sample([64, 3])), 2)
    await model.fit(x, x, { epochs: 5, ...fitOptions })
    // Each of the 10 steps moves the scale by 0.125·2·(2 − s) for the model's loss and as much for the quantizer's own.
    expect(values(layer.quantizer.scale)[0]).toBeCloseTo(2 - 1.5 * 2 ** -10, 6)
    expect(layer.quantizer.batchesSeen).toBe(10)
    const copy = (await tfl.models.modelFromJSON(JSON.parse(model.toJSON() as string)))
      .layers[0] as SignsLayer
    expect(copy.quantizer.batchesSeen).toBe(10)
    expect(copy.quantizer.dim).toBe(3)
  })
})

test('codebooks that k-means fitted go into a layer by their state', async () => {
  const x = sample([200, 4]) as tf.Tensor2D
  const kmeans = await new RQKMeans({ nClusters: 8, nStages: 2, maxIter: 5 }).fit(x)
  const options = { numEmbeddings: 8, embeddingDim: 4, numQuantizers: 2, inputShape: [4], trainable: false }
  const layer = new ResidualVQLayer(options)
  const fitted = kmeans.toQuantizer()
  layer.quantizer.loadStateDict(fitted.stateDict())
  const model = tfl.sequential({ layers: [layer] })
  expect(values(model.predict(x) as tf.Tensor)).toEqual(values(kmeans.transform(x)))
  expect(values(layer.quantizer.encode(x))).toEqual(values(kmeans.getCodes(x)))
})
