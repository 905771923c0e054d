import {
  chmodSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Random, tf, VqConfigError, VqFormatError, VqShapeError } from '@vq/core'
import { loadSafetensors, saveSafetensors } from '@vq/core/io'
import { valueAndGradients } from '@vq/core/optim'
import { moduleContract, runContract } from '@vq/core/testing'
import { ArrayDataset, DataLoader } from '@vq/models/data'
import { linearCka } from '@vq/models/evaluate'
import { Trainer } from '@vq/models/train'
import {
  BaselineModule,
  buildModel,
  codesPerVector,
  createQuantizer,
  DeepLabV3SegmentationBackbone,
  evaluateSegmentation,
  FSQWithProjection,
  featureData,
  LFQWithProjection,
  latencyOf,
  loadSegmentation,
  lossTypes,
  presetOf,
  type QuantizerSettings,
  quantizerTypes,
  ResidualVQWithProjection,
  ResNetSegmentationBackbone,
  type SegmentationConfig,
  SqueezeModule,
  saveSegmentation,
  similarityOf,
  startQuantizer,
  ViTSegmentationBackbone,
  VQWithProjection,
} from '@vq/segmentation'
import { afterAll, describe, expect, test } from 'vitest'

const folder = mkdtempSync(join(tmpdir(), 'vq-squeeze-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const backbone = () =>
  new ResNetSegmentationBackbone({
    ...{ numClasses: 2, headWidth: 8, block: 'basic', depths: [1, 1], widths: [8, 12], stemWidth: 8 },
    inputDim: [32, 32, 3],
    random: new Random(1),
  })
const settings: Record<string, QuantizerSettings> = {
  vq: { type: 'vq', codebookSize: 16, bottleneckDim: 4 },
  fsq: { type: 'fsq', levels: [4, 4] },
  lfq: { type: 'lfq', codebookSize: 16 },
  rvq: { type: 'rvq', codebookSize: 8, bottleneckDim: 4, numQuantizers: 3 },
  none: { type: 'none' },
}
const squeezed = (type: string) =>
  new SqueezeModule({
    backbone: backbone(),
    quantizer: createQuantizer(settings[type]!, 12, new Random(2)),
  })

/** Left halves brighter than right ones; the mask says which, and one row counts nowhere. */
function halves(count: number): ArrayDataset {
  const [random, edge] = [new Random(3), 32]
  const images = random.fillUniform(new Float32Array(count * edge * edge * 3), 0, 0.3)
  const mask = new Int32Array(count * edge * edge)
  for (let i = 0; i < mask.length; i++) {
    const left = i % edge < edge / 2 === Math.floor(i / edge ** 2) % 2 > 0
    mask[i] = Math.floor(i / edge) % edge === 0 ? -1 : Number(left)
    if (left) for (let c = 0; c < 3; c++) images[3 * i + c]! += 0.6
  }
  return new ArrayDataset(images, [edge, edge, 3], { mask: { values: mask, shape: [count, edge, edge] } })
}

describe('quantizers with projections', () => {
  test.each(quantizerTypes.filter(t => t !== 'none'))(
    '%s decodes what it encoded to what it quantizes to, with as many codes as it says',
    async type => {
      const q = createQuantizer(settings[type]!, 12, new Random(2))!
      expect(q.dim).toBe(12)
      const rows = tf.tensor2d(new Random(4).fillNormal(new Float32Array(60 * 12)), [60, 12])
      await startQuantizer(q, rows)
      q.eval()
      const { quantized, indices } = q.forward(rows)
      expect(tf.max(tf.abs(tf.sub(q.decode(q.encode(rows)), quantized))).dataSync()[0]).toBe(0)
      expect(indices.size).toBe(60 * codesPerVector(q))
    },
  )

  test('have the bits that the study states', () => {
    const bits = (q: { codebookSize: number }, levels = 1): number => levels * Math.log2(q.codebookSize)
    const inputDim = 768
    expect(bits(new VQWithProjection({ inputDim }))).toBe(9)
    expect(bits(new LFQWithProjection({ inputDim }))).toBe(9)
    const residual = new ResidualVQWithProjection({ inputDim: 2048, codebookSize: 256 })
    expect(bits(residual, codesPerVector(residual))).toBe(32)
    const fsq = new FSQWithProjection({ inputDim, codebookSize: 1024 })
    expect([fsq.levels, fsq.codebookSize]).toEqual([[8, 5, 5, 5], 1000])
    expect(() => new LFQWithProjection({ inputDim, codebookSize: 500 })).toThrow(VqConfigError)
    expect(() => createQuantizer({ type: 'vq', levels: [4] }, 8)).toThrow(/fsq/)
    expect(() => createQuantizer({ type: 'pq' as 'vq' }, 8)).toThrow(VqConfigError)
  })

  test('start along the principal axes: with as many as there are, what comes back is what went in', async () => {
    // Rows in a plane: three axes hold all of them, and 64 codes of 40 rows each of them.
    const random = new Random(6)
    const plane = tf.matMul(
      tf.tensor2d(random.fillNormal(new Float32Array(40 * 2)), [40, 2]),
      tf.tensor2d(random.fillNormal(new Float32Array(2 * 9)), [2, 9]),
    )
    const q = new VQWithProjection({ inputDim: 9, bottleneckDim: 3, codebookSize: 40, random })
    await startQuantizer(q, tf.add(plane, 5) as tf.Tensor2D)
    q.eval()
    const back = q.forward(tf.add(plane, 5)).quantized
    expect(tf.max(tf.abs(tf.sub(back, tf.add(plane, 5)))).dataSync()[0]).toBeLessThan(1e-3)
    await expect(startQuantizer(q, tf.zeros([8, 9]))).rejects.toThrow(VqShapeError)
  })
})

describe('SqueezeModule', () => {
  test.each(quantizerTypes)('with %s keeps the promises of modules and learns its head alone', async type => {
    const model = squeezed(type)
    const images = tf.tensor4d(await halves(2).batch(Int32Array.of(0, 1)), [2, 32, 32, 3])
    const { mask } = await halves(2).extras!(Int32Array.of(0, 1))
    const extras = { mask: tf.tensor3d(mask!.values as Int32Array, [2, 32, 32], 'int32') }
    await model.prepare(images)
    const before = model.backbone.stateDict()
    await new Trainer({ epochs: 3, learningRate: 1e-2, progress: false }).fit(
      model,
      new DataLoader(halves(8), { batchSize: 4 }),
    )
    const after = model.backbone.stateDict()
    for (const [name, value] of Object.entries(before)) {
      const moved = `${value.data}` !== `${after[name]!.data}`
      // Neither parameters nor running statistics of what is frozen move.
      if (name.startsWith('backbone.')) expect([name, moved]).toEqual([name, false])
    }
    expect(`${before['classifier.3.weight']!.data}`).not.toBe(`${after['classifier.3.weight']!.data}`)
    const results = model.forward(images, extras)
    const parts = results.vq ? results.vq.dataSync()[0]! * model.vqLossWeight : 0
    expect(results.loss.dataSync()[0]).toBeCloseTo(results.segmentation.dataSync()[0]! + parts, 5)
    expect('vq' in results).toBe(type !== 'none')
    expect(tf.getBackend()).toBe('vq-cpu')
  })

  const backbones = {
    ViT: (random: Random) =>
      new ViTSegmentationBackbone({
        ...{ numClasses: 2, headWidth: 8, inputDim: [32, 32, 3], patchSize: 8, hiddenDim: 12, numLayers: 1 },
        ...{ numHeads: 2, mlpDim: 16, random },
      }),
    DeepLabV3: (random: Random) =>
      new DeepLabV3SegmentationBackbone({
        ...{ numClasses: 2, headWidth: 8, block: 'basic', depths: [1, 1], widths: [8, 12], stemWidth: 8 },
        ...{ inputDim: [32, 32, 3], outputStride: 8, rates: [2, 4], random },
      }),
  }
  const cases = Object.keys(backbones).flatMap(network =>
    quantizerTypes.flatMap(type => lossTypes.map(loss => [network, type, loss] as const)),
  )
  test.each(cases)(
    '%s with %s and the loss %s takes a step of finite loss and gradients',
    async (network, type, lossType) => {
      const random = new Random(5)
      const own = backbones[network as keyof typeof backbones](random)
      const model = new SqueezeModule({
        ...{ backbone: own, lossType, freezeBackbone: false },
        quantizer: createQuantizer(settings[type]!, own.featureDim, random),
      })
      const data = halves(4)
      const at = Int32Array.of(0, 1, 2, 3)
      const images = tf.tensor4d(await data.batch(at), [4, 32, 32, 3])
      const { mask } = await data.extras!(at)
      const extras = { mask: tf.tensor3d(mask!.values as Int32Array, [4, 32, 32], 'int32') }
      await model.prepare(images)
      model.train()
      const parameters = model.namedParameters()
      const { value, gradients } = valueAndGradients(
        () => model.forward(images, extras).loss,
        parameters.map(p => p.variable),
      )
      expect(Number.isFinite(value.dataSync()[0])).toBe(true)
      for (const [i, gradient] of gradients.entries()) {
        const sum = tf.sum(tf.abs(gradient!)).dataSync()[0]!
        expect([parameters[i]!.name, Number.isFinite(sum)]).toEqual([parameters[i]!.name, true])
      }
      // The gradient goes through the quantizer to the first layer of the backbone.
      const first = parameters.findIndex(p => /conv1\.weight$|patch_embed.*weight$/.test(p.name))
      expect(tf.max(tf.abs(gradients[first]!)).dataSync()[0]).toBeGreaterThan(0)
      await new Trainer({ epochs: 1, learningRate: 1e-3, progress: false }).fit(
        model,
        new DataLoader(data, { batchSize: 4 }),
      )
      const wrong = model.namedParameters().filter(p => !p.variable.dataSync().every(Number.isFinite))
      expect(wrong.map(p => p.name)).toEqual([])
      model.dispose()
    },
  )

  test('trains everything where nothing is frozen', async () => {
    const model = new SqueezeModule({ backbone: backbone(), freezeBackbone: false })
    const images = tf.tensor4d(await halves(2).batch(Int32Array.of(0, 1)), [2, 32, 32, 3])
    const mask = tf.zeros([2, 32, 32], 'int32')
    await runContract(
      moduleContract({
        make: () => new SqueezeModule({ backbone: backbone(), freezeBackbone: false }),
        run: m => (m as SqueezeModule).backbone.forward(images),
        // Differences meet the kinks of ReLU here; the backbone's own suite checks gradients.
        gradients: false,
      }),
    )
    const before = model.backbone.stateDict()['backbone.conv1.weight']!.data
    await new Trainer({ epochs: 1, progress: false }).fit(model, new DataLoader(halves(4), { batchSize: 4 }))
    expect(`${model.backbone.stateDict()['backbone.conv1.weight']!.data}`).not.toBe(`${before}`)
    expect(() => model.forward(images)).toThrow(VqShapeError)
    expect(() => model.forward(images, { mask: tf.cast(mask, 'float32') })).toThrow(VqShapeError)
    expect(
      () => new SqueezeModule({ backbone: backbone(), quantizer: new VQWithProjection({ inputDim: 9 }) }),
    ).toThrow(/length 12/)
    expect(new BaselineModule({ backbone: backbone() }).quantizer).toBeUndefined()
  })
})

describe('features that are computed once', () => {
  test('are those of the backbone, are found again, and follow weights, images and preparation', async () => {
    const [model, data] = [squeezed('none'), halves(5)]
    const options = { folder: join(folder, 'cache'), batchSize: 2 }
    const first = await featureData(model, data, options)
    expect([first.reused, first.data.length, first.data.shape]).toEqual([false, 5, [4, 4, 12]])
    const at = Int32Array.of(3, 0)
    const direct = tf.tidy(() =>
      model
        .features(tf.tensor4d(data.batch(at) as Float32Array, [2, 32, 32, 3]))
        .dataSync()
        .slice(),
    ) as unknown as Float32Array
    const stored = await first.data.batch(at)
    for (const [i, value] of direct.entries()) expect(stored[i]).toBeCloseTo(value, 4)
    const { mask } = await first.data.extras!(at)
    expect(mask!.values).toEqual((await data.extras!(at)).mask!.values)

    const found = async (...given: Parameters<typeof featureData>): Promise<[boolean, number]> => {
      const file = await featureData(...given)
      await file.close()
      return [file.reused, file.data.length]
    }
    const again = await featureData(model, data, options)
    expect([again.reused, again.path]).toEqual([true, first.path])
    // The head is no part of the features.
    model.backbone.headModule
      .namedParameters()[0]!
      .variable.assign(tf.onesLike(model.backbone.headModule.namedParameters()[0]!.variable))
    expect(await found(model, data, options)).toEqual([true, 5])
    expect(await found(model, halves(4), options)).toEqual([false, 4])
    expect(await found(model, data, { ...options, copies: 2 })).toEqual([false, 10])
    const half = new SqueezeModule({ backbone: backbone(), normalization: 'half' })
    expect(await found(half, data, options)).toEqual([false, 5])
    const trunk = model.backbone.namedParameters().find(p => p.name === 'backbone.conv1.weight')!
    trunk.variable.assign(tf.mul(trunk.variable, 1.01))
    expect(await found(model, data, options)).toEqual([false, 5])
    for (const file of [first, again]) await file.close()
  })

  test('are others for the same weights in another structure, and for another batch', async () => {
    const options = { folder: join(folder, 'structure'), batchSize: 2 }
    const vit = (change: object) => {
      const random = new Random(1)
      const network = { ...{ patchSize: 8, hiddenDim: 16, numLayers: 1, numHeads: 2, mlpDim: 16 }, random }
      const own = { ...network, ...{ numClasses: 2, headWidth: 8, inputDim: [32, 32, 3] }, ...change }
      return new ViTSegmentationBackbone(own)
    }
    const resnet = (outputStride: 8 | 16) =>
      new ResNetSegmentationBackbone({
        ...{
          numClasses: 2,
          headWidth: 8,
          block: 'basic',
          depths: [1, 1, 1],
          widths: [8, 8, 12],
          stemWidth: 8,
        },
        ...{ inputDim: [32, 32, 3], outputStride, random: new Random(1) },
      })
    const seen = new Set<string>()
    const networks = [vit({}), vit({ numHeads: 4 }), vit({ epsilon: 1e-5 }), resnet(8), resnet(16)]
    for (const [to, from] of [
      [1, 0],
      [2, 0],
      [4, 3],
    ] as const)
      networks[to]!.loadStateDict(networks[from]!.stateDict())
    const weights = networks.map(network => `${Object.values(network.stateDict()).map(v => v.data)}`)
    expect(new Set(weights).size).toBe(2)
    for (const network of networks) {
      const model = new SqueezeModule({ backbone: network })
      for (const batchSize of [2, 3]) {
        const file = await featureData(model, halves(3), { ...options, batchSize })
        await file.close()
        seen.add(file.path)
        expect(file.reused).toBe(false)
      }
    }
    expect(seen.size).toBe(10)
  })

  test('by two at once are whole, and found in a folder that cannot be written', async () => {
    const options = { folder: join(folder, 'twice'), batchSize: 2 }
    const data = halves(5)
    const files = await Promise.all([1, 2].map(() => featureData(squeezed('none'), data, options)))
    const rows = await Promise.all(files.map(file => file.data.batch(Int32Array.of(0, 1, 2, 3, 4))))
    expect(rows[1]).toEqual(rows[0])
    await Promise.all(files.map(file => file.close()))
    expect(
      readdirSync(options.folder)
        .sort()
        .map(name => name.replace(/^.*\./, '.')),
    ).toEqual(['.json', '.npy'])
    chmodSync(options.folder, 0o555)
    const again = await featureData(squeezed('none'), data, options)
    expect([again.reused, await again.data.batch(Int32Array.of(0, 1, 2, 3, 4))]).toEqual([true, rows[0]])
    await again.close()
    chmodSync(options.folder, 0o755)
  })

  test('that were aborted leave nothing behind', async () => {
    const options = { folder: join(folder, 'aborted'), batchSize: 2 }
    const controller = new AbortController()
    const onProgress = (done: number): void => {
      if (done === 2) controller.abort()
    }
    const { signal } = controller
    const failure = await featureData(squeezed('none'), halves(5), { ...options, signal, onProgress }).catch(
      e => e,
    )
    expect([failure.name, readdirSync(options.folder)]).toEqual(['AbortError', []])
  })

  test('of a file that was damaged are refused or computed anew', async () => {
    const [model, data] = [squeezed('none'), halves(3)]
    const options = { folder: join(folder, 'damaged') }
    const { path, close } = await featureData(model, data, options)
    await close()
    const bytes = readFileSync(path)
    bytes[bytes.length - 5]! ^= 64
    writeFileSync(path, bytes)
    const flipped = await featureData(model, data, options)
    expect(flipped.reused).toBe(true)
    await flipped.data.batch(Int32Array.of(0))
    await expect(flipped.data.batch(Int32Array.of(2))).rejects.toThrow(VqFormatError)
    await flipped.close()
    truncateSync(path, bytes.length - 100)
    const short = await featureData(model, data, options)
    expect(short.reused).toBe(false)
    await short.data.batch(Int32Array.of(2))
    await short.close()
    // Written under another name first: nothing of that is left.
    expect(readdirSync(options.folder).filter(name => name.startsWith('.'))).toEqual([])
  })
})

describe('checkpoints', () => {
  const config = (model = presetOf({ model: 'small', numClasses: 2, headWidth: 4 })): SegmentationConfig => ({
    backbone: model,
    quantizer: { type: 'vq', codebookSize: 8, bottleneckDim: 4 },
    ...{ classes: ['a', 'b'], imageSize: 32, normalization: 'half', lossType: 'dice', vqLossWeight: 0.2 },
  })

  test('give back the network, whatever it was trained with', async () => {
    const file = join(folder, 'whole.safetensors')
    const model = buildModel(config(), new Random(3)).eval()
    await saveSegmentation(file, model, config())
    const { model: again, config: read } = await loadSegmentation(file)
    expect(read).toMatchObject(config())
    expect([again.lossType, again.normalization, again.vqLossWeight]).toEqual(['dice', 'half', 0.2])
    const x = tf.randomUniform([1, 32, 32, 3], 0, 1, 'float32', 2)
    expect(tf.max(tf.abs(tf.sub(again.predict(x), model.predict(x)))).dataSync()[0]).toBe(0)
    again.dispose()
  })

  test('whose header is damaged or asks for more than the file holds are refused', async () => {
    const { tensors } = await loadSafetensors(join(folder, 'whole.safetensors'))
    const small = config().backbone
    const kind = { formatVersion: 1, kind: 'segmentation' }
    for (const [text, message] of [
      ['{', /segmentation checkpoint/],
      [JSON.stringify({ ...kind, ...config(), formatVersion: 2 }), /version 2/],
      [JSON.stringify({ ...kind, classes: [] }), /segmentation checkpoint/],
      [JSON.stringify({ ...kind, ...config({ ...small, headWidth: 1e9 }) }), /1000000000/],
      [
        JSON.stringify({ ...kind, ...config({ ...small, resnet: { ...small.resnet!, depths: [4000] } }) }),
        /4000/,
      ],
      [
        JSON.stringify({ ...kind, ...config(), quantizer: { type: 'vq', codebookSize: 2 ** 30 } }),
        /1073741824/,
      ],
      [JSON.stringify({ ...kind, ...config({ ...small, headWidth: 5 }) }), /headWidth|shape|\[/],
      [
        JSON.stringify({ ...kind, ...config({ ...small, model: '../../x' as 'vit' }) }),
        /header\.safetensors/,
      ],
      [JSON.stringify({ ...kind, ...config(), classes: ['a', 'b', 'c'] }), /header\.safetensors/],
      [JSON.stringify({ ...kind, ...config(), imageSize: 1e9 }), /header\.safetensors/],
      [
        JSON.stringify({ ...kind, ...config(), normalization: 'constructor' }),
        /header\.safetensors.*constructor/,
      ],
      [JSON.stringify({ ...kind, ...config(), quantizer: { type: 'pq' } }), /header\.safetensors.*pq/],
    ] as const) {
      const file = join(folder, 'header.safetensors')
      await saveSafetensors(file, tensors, { config: text })
      const failure = await loadSegmentation(file).catch(error => error)
      expect([text, failure instanceof VqFormatError, message.test(failure.message)]).toEqual([
        text,
        true,
        true,
      ])
    }
  })
})

describe('evaluation', () => {
  test('from features equals that from images, and its bits and ratios those by hand', async () => {
    const [model, data] = [squeezed('rvq'), halves(6)]
    const file = await featureData(model, data, { folder: join(folder, 'evaluate') })
    const values = await file.data.batch(Int32Array.from({ length: 6 }, (_, i) => i))
    await startQuantizer(model.quantizer!, tf.tensor2d(values, [values.length / 12, 12]))
    const classes = ['dark', 'bright']
    const fromFeatures = await evaluateSegmentation(model, file.data, { classes, fromFeatures: true })
    const fromImages = await evaluateSegmentation(model, data, { classes })
    expect(fromImages.classes).toEqual(fromFeatures.classes)
    const { bits, compression, numbers, vectors, levels, relativeError } = fromFeatures.codes!
    expect([vectors, bits.nominal]).toEqual([6 * 16, 9])
    expect(numbers).toEqual({ codebooks: 3 * 8 * 4, projections: 12 * 4 + 4 + 4 * 12 + 12 })
    expect(compression.nominal).toBeCloseTo((12 * 32) / 9, 10)
    expect(compression.withCodebookAndProjections).toBeCloseTo(
      (12 * 32 * vectors) / (9 * vectors + 32 * (numbers.codebooks + numbers.projections)),
      10,
    )
    expect(bits.joint).toBeLessThanOrEqual(bits.entropy + 1e-9)
    expect(bits.entropy).toBeLessThanOrEqual(9)
    expect(levels.map(l => l.size)).toEqual([8, 8, 8])
    expect(relativeError).toBeGreaterThan(0)
    expect(relativeError).toBeLessThan(1)
    expect(Object.values(latencyOf(model, 32)).every(ms => ms > 0)).toBe(true)
    await file.close()
  })

  test('of the same features is 1 in every similarity, and of features that are all one it is not defined', () => {
    const values = Array.from(new Random(1).fillNormal(new Float32Array(60 * 5)))
    const same = similarityOf(values, values, 5)
    for (const name of ['cka', 'rsa', 'pwcca', 'knnJaccard'] as const) expect(same[name]).toBeCloseTo(1, 5)
    const other = values.map((v, i) => v + (i % 5 === 0 ? 1 : 0) * Math.sin(i))
    expect(similarityOf(values, other, 5).cka).toBeCloseTo(
      linearCka(
        { features: Float32Array.from(values), dim: 5 },
        { features: Float32Array.from(other), dim: 5 },
      ),
      10,
    )
    expect(
      similarityOf(
        values,
        values.map(() => 1),
        5,
      ),
    ).toMatchObject({ cka: null, rsa: null })
  })
})
