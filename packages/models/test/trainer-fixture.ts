import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Random, random, tf as t, type tf } from '@vq/core'
import { init, Linear, Module, ReLU, Sequential } from '@vq/core/nn'
import { VQVAE } from '@vq/models'
import { ArrayDataset, DataLoader } from '@vq/models/data'
import type { Metrics, TrainerOptions } from '@vq/models/train'
import { afterEach, beforeEach, expect } from 'vitest'

/** A folder for each test, and a check that the test ran on our backend and left no tensor. */
export function eachInFolder(): { readonly path: string } {
  const folder = { path: '' }
  let tensors: number
  beforeEach(() => {
    folder.path = mkdtempSync(join(tmpdir(), 'vq-trainer-'))
    tensors = t.memory().numTensors
  })
  afterEach(() => {
    rmSync(folder.path, { recursive: true })
    expect(t.getBackend()).toBe('vq-cpu')
    expect(t.memory().numTensors).toBe(tensors)
  })
  return folder
}

export const quiet = { progress: false, logEvery: 1 } satisfies Partial<TrainerOptions>

export const images = (): Float32Array => new Random(1).fillUniform(new Float32Array(20 * 8 * 8 * 3))
/** 20 images, 5 batches an epoch. */
export const loader = (batchSize = 4): DataLoader =>
  new DataLoader(new ArrayDataset(images(), [8, 8, 3]), { batchSize, seed: 2 })

export function smallVqvae(seed: number): VQVAE {
  random.seed(seed)
  return new VQVAE({
    architecture: 'igpt',
    hiddenDims: [4],
    embeddingDim: 4,
    numEmbeddings: 6,
    numResidualLayers: 1,
    codebookUpdate: 'ema',
    deadCodeThreshold: 0.9,
  })
}

/** Its best weight is the mean of the data; the loss is the mean of (x − weight)². */
export class Scale extends Module {
  readonly weight = this.addParameter('weight', init.uniform<tf.Rank.R1>([1], 0, 0))
  forward(x: tf.Tensor): { loss: tf.Scalar } {
    return { loss: t.mean(t.square(t.sub(x, this.weight))) as tf.Scalar }
  }
  get value(): number {
    return this.weight.dataSync()[0]!
  }
}

/** Two layers to one number; learns the sum of four. */
export class Small extends Module {
  readonly net = this.addModule(
    'net',
    new Sequential(
      new Linear({ inFeatures: 4, outFeatures: 5, random: new Random(3) }),
      new ReLU(),
      new Linear({ inFeatures: 5, outFeatures: 1, random: new Random(4) }),
    ),
  )
  forward(x: tf.Tensor): { loss: tf.Scalar; size: tf.Scalar } {
    const y = this.net.forward(x)
    const loss = t.mean(t.square(t.sub(y, t.sum(x, 1, true)))) as tf.Scalar
    return { loss, size: t.mean(t.abs(y)) as tf.Scalar }
  }
}

export const rows = (count: number, options: { batchSize: number; dropLast?: boolean }): DataLoader =>
  new DataLoader(new ArrayDataset(new Random(9).fillNormal(new Float32Array(4 * count)), [4]), options)

export const numbers = (values: number[], batchSize: number = values.length): DataLoader =>
  new DataLoader(new ArrayDataset(Float32Array.from(values), [1]), { batchSize, shuffle: false })

export const metricsIn = (out: string): Metrics[] =>
  readFileSync(join(out, 'metrics.jsonl'), 'utf8')
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line))

export const weights = (model: Module): number[] =>
  Object.values(model.stateDict()).flatMap(({ data }) => Array.from(data as Float32Array, Number))
