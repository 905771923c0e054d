import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Random, tf, VqConfigError } from '@vq/core'
import { loadSafetensors, type StateDict, saveSafetensors, toTensor } from '@vq/core/io'
import { backboneContract, runContract } from '@vq/core/testing'
import { type DeepLabV3Encoder, fromPretrained, type VisionTransformerEncoder } from '@vq/encoders'
import {
  ConvHead,
  createBackbone,
  DeepLabV3SegmentationBackbone,
  presetOf,
  pretrainedBackbone,
  ResNetSegmentationBackbone,
  ViTSegmentationBackbone,
} from '@vq/segmentation'
import { describe, expect, test } from 'vitest'

const oracle = join(import.meta.dirname, '../../../test/oracle')

function largestDifference(a: tf.Tensor, b: tf.Tensor): number {
  expect(a.shape).toEqual(b.shape)
  return tf.tidy(() => tf.max(tf.abs(tf.sub(a, b))).dataSync()[0]!)
}

const thin = { block: 'basic', depths: [1, 1], widths: [8, 12], stemWidth: 8, inputDim: [32, 32, 3] } as const
const small = () => ({ random: new Random(3) })

describe('backbones keep the promises of SegmentationBackbone', () => {
  test.each([
    [
      'ViT',
      () =>
        new ViTSegmentationBackbone({
          numClasses: 3,
          headWidth: 8,
          inputDim: [32, 32, 3],
          patchSize: 8,
          hiddenDim: 16,
          numLayers: 1,
          numHeads: 2,
          mlpDim: 16,
          ...small(),
        }),
    ],
    ['ResNet', () => new ResNetSegmentationBackbone({ numClasses: 2, headWidth: 8, ...thin, ...small() })],
  ] as const)('%s', async (_name, make) => {
    await runContract(backboneContract({ make, imageShape: [32, 32, 3], unused: ['backbone.cls_token'] }))
    expect(tf.getBackend()).toBe('vq-cpu')
  })
})

describe('shapes are those of the published study', () => {
  test('ViT-B/32 gives 7 × 7 × 768, and DeepLabV3-ResNet50 28 × 28 × 2048 with a pyramid of 12, 24 and 36', () => {
    const [vit, deeplab] = (['vit', 'deeplab'] as const).map(model => presetOf({ model, numClasses: 3 }))
    expect([vit!.vit!.imageSize / vit!.vit!.patchSize, vit!.vit!.hiddenDim]).toEqual([7, 768])
    expect(deeplab!.rates).toEqual([12, 24, 36])
    // The parameters that torchvision counts: deeplabv3_resnet50 with 3 classes 39,634,243, vit_b_32 without its head 87,455,232.
    const network = createBackbone(deeplab!, new Random(0))
    expect(network.featureDim).toBe(2048)
    expect(network.parameterCount()).toBe(39_634_243)
    const features = network.eval().extractFeatures(tf.zeros([1, 64, 64, 3]))
    expect(features.shape).toEqual([1, 8, 8, 2048])
    network.dispose()
    const transformer = createBackbone(vit!, new Random(0))
    const head = 9 * 768 * 256 + 2 * 256 + 3 * 256 + 3
    expect(transformer.parameterCount()).toBe(87_455_232 + head)
    expect(transformer.eval().extractFeatures(tf.zeros([1, 224, 224, 3])).shape).toEqual([1, 7, 7, 768])
    transformer.dispose()
  })
})

describe("logits equal torchvision's to 1e-4", () => {
  test('of DeepLabV3 with random weights', async () => {
    const { tensors } = await loadSafetensors(join(oracle, 'encoders/deeplab/expected.safetensors'))
    const network = (await fromPretrained(join(oracle, 'encoders/deeplab/model.pth'), {
      rates: [2, 3],
      outputStride: 8,
    })) as DeepLabV3Encoder
    const backbone = new DeepLabV3SegmentationBackbone({ network }).eval()
    const expected = toTensor(tensors['segmentation.0']!)
    const logits = backbone.forward(toTensor(tensors['images.0']!))
    const size = tf.max(tf.abs(expected)).dataSync()[0]!
    expect(largestDifference(logits, expected) / size).toBeLessThan(1e-4)
    expect([...backbone.headModule.namedParameters()].length).toBeLessThan(backbone.namedParameters().length)
  })

  test('of the head of two convolutions, enlarged', async () => {
    const { tensors } = await loadSafetensors(join(oracle, 'segmentation.safetensors'))
    const head = new ConvHead({ inChannels: 8, numClasses: 3, width: 6 })
    const state: StateDict = Object.fromEntries(
      Object.entries(tensors)
        .filter(([name]) => /^head\.\d/.test(name))
        .map(([name, value]) => [name.slice(5), value]),
    )
    head.loadStateDict(state)
    const encoder = (await fromPretrained(join(oracle, 'encoders/torchvision-vit/model.pth'), {
      numHeads: 2,
    })) as VisionTransformerEncoder
    const dim = encoder.hiddenDim
    const backbone = new ViTSegmentationBackbone({ encoder, numClasses: 3, headWidth: 6 })
    // The features of the encoder are those of torchvision.
    const { tensors: vit } = await loadSafetensors(
      join(oracle, 'encoders/torchvision-vit/expected.safetensors'),
    )
    const sequence = toTensor(vit['sequence.0']!)
    const features = backbone.eval().extractFeatures(toTensor(vit['images.0']!))
    const patches = tf.reshape(tf.slice(sequence, [0, 1, 0], [-1, -1, -1]), features.shape)
    expect(features.shape[3]).toBe(dim)
    expect(largestDifference(features, patches)).toBeLessThan(1e-4)
    head.eval()
    class Direct extends ResNetSegmentationBackbone {
      override readonly featureDim: number = 8
      protected override head(x: tf.Tensor4D): tf.Tensor4D {
        return head.forward(x)
      }
    }
    const direct = new Direct({ numClasses: 3, ...thin })
    const logits = direct.classify(toTensor(tensors.features!), [13, 17])
    expect(largestDifference(logits, toTensor(tensors['head.logits']!))).toBeLessThan(1e-4)
  })
})

describe('pretrained weights', () => {
  test('of a residual network of any shape become a backbone that gives its features', async () => {
    const file = join(oracle, 'encoders/torchvision-resnet18/model.pth')
    const { backbone, config } = await pretrainedBackbone(file, { model: 'resnet', numClasses: 2 })
    const encoder = await fromPretrained(file, { outputStride: 8 })
    const x = tf.randomUniform([1, 32, 32, 3], 0, 1, 'float32', 1)
    const theirs = (encoder as DeepLabV3Encoder).featureMap(x)
    expect(largestDifference(backbone.eval().extractFeatures(x), theirs)).toBe(0)
    // All of it can be built again from plain JSON.
    const again = createBackbone(JSON.parse(JSON.stringify(config)), new Random(9))
    again.loadStateDict(backbone.stateDict())
    expect(largestDifference(again.eval().forward(x), backbone.forward(x))).toBe(0)
  })

  test('of a DeepLabV3 with an auxiliary head and other classes give its features and its head but for the last layer', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'vq-deeplab-'))
    const file = join(folder, 'weights.safetensors')
    const shape = { ...thin, depths: [1, 1, 1, 1], widths: [8, 8, 12, 12], outputStride: 8 } as const
    const own = { ...shape, headWidth: 6, rates: [12, 24, 36], random: new Random(4) }
    const theirs = new DeepLabV3SegmentationBackbone({ ...own, numClasses: 7 }).eval()
    const state = theirs.stateDict()
    const weight = state['classifier.4.weight']!
    await saveSafetensors(file, { ...state, 'aux_classifier.4.weight': weight })
    try {
      for (const numClasses of [7, 3]) {
        const request = { model: 'deeplab', numClasses } as const
        const { backbone, config } = await pretrainedBackbone(file, request, new Random(5))
        const x = tf.randomUniform([1, 64, 64, 3], 0, 1, 'float32', 1)
        expect(largestDifference(backbone.eval().extractFeatures(x), theirs.extractFeatures(x))).toBe(0)
        expect(config.headWidth).toBe(6)
        const mine = backbone.stateDict()
        const same = (name: string) => `${mine[name]!.data}` === `${state[name]!.data}`
        expect([same('classifier.0.project.0.weight'), same('classifier.4.weight')]).toEqual([
          true,
          numClasses === 7,
        ])
        expect(backbone.forward(x).shape).toEqual([1, 64, 64, numClasses])
      }
      // A width that the head of the weights does not have would be passed over.
      await expect(
        pretrainedBackbone(file, { model: 'deeplab', numClasses: 3, headWidth: 9 }),
      ).rejects.toThrow(/--head-width.*expected 6.*received (the number )?9/)
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  test('of another kind than the model are refused by name', async () => {
    const vit = join(oracle, 'encoders/torchvision-resnet18/model.pth')
    await expect(pretrainedBackbone(vit, { model: 'vit', numClasses: 2 })).rejects.toThrow(VqConfigError)
    await expect(pretrainedBackbone('./nowhere.pth', { model: 'vit', numClasses: 2 })).rejects.toThrow(
      /nowhere/,
    )
  })
})
