import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  embedding,
  Random,
  softmaxCrossEntropy,
  tf,
  VqConfigError,
  VqFormatError,
  VqShapeError,
} from '@vq/core'
import {
  BatchNorm,
  Conv2d,
  ConvTranspose2d,
  Dropout,
  Flatten,
  Linear,
  Module,
  ReLU,
  Sequential,
} from '@vq/core/nn'
import { Adam, trainStep } from '@vq/core/optim'
import { moduleContract } from '@vq/core/testing'
import { BaseDecoder, BaseEncoder, type EncoderOutput } from '@vq/encoders'
import { ComposedVQVAE, type ComposedVQVAEOptions, type PartName, type QuantizerPart } from '@vq/models'
import { ArrayDataset, DataLoader } from '@vq/models/data'
import { Trainer } from '@vq/models/train'
import { createQuantizer, RQKMeans, VectorQuantizer } from '@vq/quantizers'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { onBackends } from '../../../test/contract/backends.js'
import { onEachBackend } from '../../../test/contract/run.js'

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'vq-composed-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

const down = { kernelSize: 4, stride: 2, padding: 1 }
const random = (): Random => new Random(5)
const values = (t: tf.Tensor): number[] => Array.from(t.dataSync())
const images = (b = 4, seed = 1): tf.Tensor4D =>
  tf.tensor4d(new Random(seed).fillUniform(new Float32Array(b * 8 * 8 * 3)), [b, 8, 8, 3])

// Parts of three kinds: feature maps, an embedding, a sequence. All have batch normalisation, one dropout too.
const mapEncoder = (width = 4): Sequential =>
  new Sequential(
    new Conv2d({ inChannels: 3, outChannels: 6, ...down, random: random() }),
    new BatchNorm({ numFeatures: 6 }),
    new ReLU(),
    new Dropout({ rate: 0.2 }),
    new Conv2d({ inChannels: 6, outChannels: width, kernelSize: 1, random: random() }),
  )
const mapDecoder = (width = 4): Sequential =>
  new Sequential(
    new BatchNorm({ numFeatures: width }),
    new ConvTranspose2d({ inChannels: width, outChannels: 3, ...down, random: random() }),
  )

class Vectors extends BaseEncoder {
  readonly inputShape: readonly (number | null)[] = [8, 8, 3]
  readonly embeddingDim: number = 6
  readonly flat: Flatten = this.addModule('flat', new Flatten())
  readonly linear: Linear = this.addModule(
    'linear',
    new Linear({ inFeatures: 192, outFeatures: 6, random: random() }),
  )
  readonly rows: Linear = this.addModule(
    'rows',
    new Linear({ inFeatures: 24, outFeatures: 6, random: random() }),
  )
  protected encode(x: tf.Tensor): EncoderOutput {
    const embedding = this.linear.forward(this.flat.forward(x)) as tf.Tensor2D
    const sequence = this.rows.forward(tf.reshape(x, [x.shape[0], 8, 24])) as tf.Tensor3D
    return { embedding, sequence }
  }
}

class Words extends BaseEncoder {
  override readonly inputType: 'float32' | 'int32' = 'int32'
  override readonly takesMask: boolean = true
  readonly inputShape: readonly (number | null)[] = [null]
  readonly embeddingDim: number = 4
  readonly table: tf.Variable = this.addParameter(
    'table',
    tf.tensor(new Random(2).fillNormal(new Float32Array(20)), [5, 4]),
  )
  protected encode(ids: tf.Tensor): EncoderOutput {
    const sequence = embedding(ids, this.table as tf.Tensor2D) as tf.Tensor3D
    return { sequence, embedding: tf.mean(sequence, 1) as tf.Tensor2D }
  }
}

class Images extends BaseDecoder {
  readonly inputShape: readonly (number | null)[] = [5]
  readonly outputShape: readonly (number | null)[] = [8, 8, 3]
  readonly linear: Linear = this.addModule(
    'linear',
    new Linear({ inFeatures: 5, outFeatures: 192, random: random() }),
  )
  protected decode(z: tf.Tensor): tf.Tensor {
    return tf.reshape(this.linear.forward(z), [-1, 8, 8, 3])
  }
}

class Rows extends Module {
  readonly linear: Linear = this.addModule(
    'linear',
    new Linear({ inFeatures: 4, outFeatures: 24, random: random() }),
  )
  forward(z: tf.Tensor): tf.Tensor {
    return tf.reshape(this.linear.forward(z), [-1, 8, 8, 3])
  }
}

// Every trainable quantizer, at width 4.
const quantizers: Record<string, () => QuantizerPart> = Object.fromEntries(
  [
    { type: 'vq', numEmbeddings: 8, embeddingDim: 4 },
    { type: 'vq', numEmbeddings: 8, embeddingDim: 4, codebookUpdate: 'gradient' },
    { type: 'rvq', numEmbeddings: 8, embeddingDim: 4, numQuantizers: 3, quantizeDropout: 0.5 },
    { type: 'grouped_rvq', numEmbeddings: 8, dim: 4, groups: 2, numQuantizers: 2 },
    { type: 'pq', numEmbeddings: 8, dim: 4, parts: 2 },
    { type: 'sim_vq', numEmbeddings: 8, embeddingDim: 4 },
    { type: 'fsq', levels: [3, 5], dim: 4 },
    { type: 'residual_fsq', levels: [3, 5], numQuantizers: 2, dim: 4 },
    { type: 'lfq', codebookSize: 8, dim: 4 },
    { type: 'residual_lfq', codebookSize: 8, dim: 4, numQuantizers: 2 },
    { type: 'latent', levels: [3, 4, 3, 2] },
    { type: 'gumbel', numEmbeddings: 8, embeddingDim: 4 },
    { type: 'random_projection', numEmbeddings: 8, dim: 4, embeddingDim: 4 },
  ].map(config => [
    JSON.stringify(config),
    () => createQuantizer({ ...config, random: random() } as never) as QuantizerPart,
  ]),
)

const kinds: Record<
  string,
  (quantizer: QuantizerPart, freeze?: ComposedVQVAEOptions['freeze']) => ComposedVQVAE
> = {
  'feature map': (q, freeze = {}) => new ComposedVQVAE(mapEncoder(), q, mapDecoder(), { freeze }),
  'wider feature map, projected': (q, freeze = {}) =>
    new ComposedVQVAE(mapEncoder(7), q, mapDecoder(5), {
      freeze,
      encoderDim: 7,
      decoderDim: 5,
      random: random(),
    }),
  embedding: (q, freeze = {}) =>
    new ComposedVQVAE(new Vectors(), q, new Images(), { freeze, random: random() }),
  sequence: (q, freeze = {}) =>
    new ComposedVQVAE(new Vectors(), q, new Rows(), { freeze, latents: 'sequence', random: random() }),
}

onEachBackend(
  'ComposedVQVAE',
  moduleContract({
    make: () => kinds['wider feature map, projected']!(quantizers[Object.keys(quantizers)[0]!]!()),
    run: m => m.forward(images()).reconstructed,
    gradients: false,
  }),
)

function step(model: ComposedVQVAE, steps = 2): void {
  const optimizer = new Adam(model, { learningRate: 1e-2 })
  for (let i = 0; i < steps; i++) {
    const x = images(4, i)
    trainStep(optimizer, () => model.forward(x), { clipNorm: 1 })
    x.dispose()
  }
  optimizer.dispose()
}

onBackends(backend => {
  it.each(Object.keys(quantizers))('with %s: codes decode to what forward reconstructs, exactly', name => {
    for (const make of Object.values(kinds)) {
      const model = make(quantizers[name]!())
      step(model)
      model.eval()
      tf.tidy(() => {
        const x = images()
        const { reconstructed, indices, loss, reconstructionLoss, vqLoss } = model.forward(x)
        expect(reconstructed.shape).toEqual(x.shape)
        const codes = model.encodeToIndices(x)
        expect(values(codes)).toEqual(values(indices))
        expect(values(model.decodeFromIndices(codes))).toEqual(values(reconstructed))
        const [l, r, q] = [loss, reconstructionLoss, vqLoss].map(t => values(t)[0]!)
        expect(l).toBeCloseTo(r! + q!, 5)
      })
      model.dispose()
    }
  })

  it('frozen parts are bit for bit what they were after training, the others are not, whatever is frozen', () => {
    const parts: PartName[] = ['encoder', 'quantizer', 'decoder']
    fc.assert(
      fc.property(
        fc.constantFrom(...Object.keys(kinds)),
        fc.constantFrom(...Object.keys(quantizers)),
        fc.record({ encoder: fc.boolean(), quantizer: fc.boolean(), decoder: fc.boolean() }),
        fc.boolean(),
        (kind, quantizer, freeze, later) => {
          if (parts.every(p => freeze[p])) return
          const model = kinds[kind]!(quantizers[quantizer]!(), later ? {} : freeze)
          if (later) for (const p of parts) if (freeze[p]) model.freezePart(p)
          const before = model.stateDict()
          model.train() // as a Trainer does
          for (const p of parts) expect(model[p].training).toBe(!freeze[p])
          step(model)
          const after = model.stateDict()
          const owner = (name: string): PartName =>
            name.startsWith('project_') ? 'quantizer' : (name.split('.')[0] as PartName)
          const changed = new Set<string>()
          for (const [name, { data }] of Object.entries(after)) {
            const same = Array.from(data as ArrayLike<unknown>).every((v, i) =>
              Object.is(v, before[name]!.data[i]),
            )
            if (!same) changed.add(owner(name))
            if (freeze[owner(name)]) expect(same, name).toBe(true)
          }
          for (const p of parts) {
            // Nothing to learn: no parameters, or fixed ones.
            const learns = model[p].namedParameters().length > 0 || /"r?vq"|grouped|pq/.test(quantizer)
            if (!freeze[p] && learns && !(p === 'quantizer' && /random_projection/.test(quantizer)))
              expect(changed.has(p), `${p} of ${quantizer}, ${kind}`).toBe(true)
          }
          model.dispose()
        },
      ),
      { numRuns: backend === 'cpu' ? 10 : 60 },
    )
  })

  it('a part frozen by its own freeze stays in evaluation mode as well, and one let go learns again', () => {
    const model = kinds['feature map']!(new VectorQuantizer({ numEmbeddings: 8, embeddingDim: 4 }))
    model.encoder.freeze()
    const before = model.encoder.stateDict()
    step(model)
    expect(model.encoder.stateDict()).toEqual(before)
    model.freezePart('encoder', false)
    expect(model.encoder.training).toBe(true)
    step(model)
    expect(model.encoder.stateDict()).not.toEqual(before)
    model.dispose()
  })

  it('leaves masked positions of a sequence out of everything', async () => {
    const q = new VectorQuantizer({
      numEmbeddings: 3,
      embeddingDim: 4,
      initCodebook: 'kmeans',
      random: random(),
    })
    const seen: unknown[] = []
    const model = new ComposedVQVAE(new Words(), q, new Linear({ inFeatures: 4, outFeatures: 5 }), {
      latents: 'sequence',
      reconstructionLoss: (logits, ids, mask) => {
        seen.push(mask)
        const labels =
          mask === undefined ? ids : tf.where(tf.cast(mask, 'bool'), ids, tf.fill(ids.shape, -1, 'int32'))
        return softmaxCrossEntropy(logits, labels) as tf.Scalar
      },
    })
    const ids = tf.tensor2d([0, 1, 2, 3, 4, 4], [2, 3], 'int32')
    const mask = tf.tensor2d([1, 1, 0, 1, 0, 0], [2, 3], 'int32')
    const other = tf.tensor2d([0, 1, 4, 3, 2, 0], [2, 3], 'int32')
    await model.prepare(ids, { mask })
    // Three positions, three codes: each is its own centre.
    expect(new Set(values(q.table).map(v => v.toFixed(4)))).toEqual(
      new Set(
        [0, 1, 3]
          .flatMap(w => values(model.encoder.namedParameters()[0]!.variable).slice(4 * w, 4 * w + 4))
          .map(v => v.toFixed(4)),
      ),
    )
    model.eval()
    tf.tidy(() => {
      const [a, b] = [ids, other].map(x => model.forward(x, { mask }))
      expect(values(a!.loss)).toEqual(values(b!.loss))
      expect(values(a!.indices).map(i => i < 0)).toEqual([false, false, true, false, true, true])
      expect(values(model.encodeToIndices(ids, { mask }))).toEqual(values(a!.indices))
      expect(values(model.decodeFromIndices(a!.indices))).toEqual(values(a!.reconstructed))
      expect(values(model.encodeToIndices(ids)).every(i => i >= 0)).toBe(true)
      expect(seen).toEqual([mask, mask])
    })
    tf.dispose([ids, mask, other])
    model.dispose()
  })

  it('comes back from its artifact by a function that builds the parts', async () => {
    const build = ({ width }: { width: number }): ComposedVQVAE =>
      new ComposedVQVAE(
        mapEncoder(width),
        new VectorQuantizer({ numEmbeddings: 8, embeddingDim: 4 }),
        mapDecoder(),
        { encoderDim: width },
      )
    const model = build({ width: 5 })
    step(model)
    const path = join(folder, backend)
    await model.save(path, { width: 5 })
    const back = await ComposedVQVAE.load(path, build)
    const x = images()
    const [a, b] = [model.eval(), back].map(m => tf.tidy(() => values(m.forward(x).reconstructed)))
    expect(b).toEqual(a)
    await expect(ComposedVQVAE.load(path, () => build({ width: 6 }))).rejects.toThrow(VqFormatError)
    x.dispose()
    model.dispose()
    back.dispose()
  })

  it('says which part does not fit, and how', () => {
    const q = new VectorQuantizer({ numEmbeddings: 8, embeddingDim: 4 })
    const [encoder, decoder, wide] = [mapEncoder(), mapDecoder(), mapEncoder(6)]
    expect(() => new ComposedVQVAE(null as never, q, decoder)).toThrow(/encoder to be a module/)
    expect(() => new ComposedVQVAE(encoder, new RQKMeans({ dim: 4 }) as never, decoder)).toThrow(
      /toQuantizer/,
    )
    expect(() => new ComposedVQVAE(encoder, q, { forward: () => 1 } as never)).toThrow(VqConfigError)
    expect(() => new ComposedVQVAE(encoder, q, decoder, { freeze: { all: true } as never })).toThrow(
      VqConfigError,
    )
    const model = new ComposedVQVAE(wide, q, decoder)
    tf.tidy(() => {
      expect(() => model.forward(images())).toThrow(VqShapeError)
      expect(() => model.forward(images())).toThrow(/encoderDim/)
    })
    for (const m of [q, encoder, decoder, wide]) m.dispose()
  })
})

it('trains by the Trainer, its codes started by k-means of the frozen encoder’s latents', async () => {
  const quantizer = new VectorQuantizer({
    numEmbeddings: 8,
    embeddingDim: 4,
    initCodebook: 'kmeans',
    random: random(),
  })
  const model = new ComposedVQVAE(mapEncoder(), quantizer, mapDecoder(), { freeze: { encoder: true } })
  const encoder = model.encoder.stateDict()
  const data = new ArrayDataset(new Random(3).fillUniform(new Float32Array(16 * 8 * 8 * 3)), [8, 8, 3])
  const loader = new DataLoader(data, { batchSize: 8, seed: 0 })
  const { metrics } = await new Trainer({ steps: 40, logEvery: 1, learningRate: 1e-2, progress: false }).fit(
    model,
    loader,
  )
  expect(quantizer.ready).toBe(true)
  expect(model.encoder.stateDict()).toEqual(encoder)
  expect(metrics.at(-1)!.loss).toBeLessThan(0.7 * metrics[0]!.loss)
  expect(Object.keys(metrics[0]!)).toEqual(
    expect.arrayContaining(['vqLoss', 'reconstructionLoss', 'perplexity']),
  )
  model.dispose()
})
