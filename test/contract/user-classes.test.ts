// A user's own classes through the suites of @vq/core/testing; and each suite catches classes that break a promise.
import { Random, tf } from '@vq/core'
import type { StateDict } from '@vq/core/io'
import { BatchNorm, Conv2d, Dropout, Linear, Module } from '@vq/core/nn'
import {
  backboneContract,
  type ContractCheck,
  datasetContract,
  decoderContract,
  encoderContract,
  moduleContract,
  quantizerContract,
  runContract,
} from '@vq/core/testing'
import { BaseDecoder, BaseEncoder, type EncodeOptions, type EncoderOutput } from '@vq/encoders'
import { ArrayDataset, BaseDataset, coloredDigits, type Extras, randomCrops, subset } from '@vq/models/data'
import { BaseQuantizer, type RowsOutput } from '@vq/quantizers'
import { SegmentationBackbone } from '@vq/segmentation'
import { describe, expect, test } from 'vitest'
import { onEachBackend, runChecks } from './run.js'

class Grid extends BaseQuantizer {
  readonly dim: number = 3
  readonly codebookSize: number = 8
  // Signs as bits.
  protected encodeRows(rows: tf.Tensor2D): tf.Tensor {
    return tf.cast(tf.sum(tf.mul(tf.cast(tf.greater(rows, 0), 'float32'), [1, 2, 4]), 1), 'int32')
  }
  protected decodeRows(indices: tf.Tensor): tf.Tensor2D {
    return tf.gather(this.codebook(), indices) as tf.Tensor2D
  }
  protected quantizeRows(rows: tf.Tensor2D): RowsOutput {
    const indices = this.encodeRows(rows)
    const codes = this.decodeRows(indices)
    const straight = tf.customGrad((x, save) => ({
      value: tf.add(tf.mul(x as tf.Tensor, 0), codes),
      gradFunc: (dy: tf.Tensor) => (save as (t: tf.Tensor[]) => void)([]) ?? dy,
    }))
    return { quantized: straight(rows) as tf.Tensor2D, indices, losses: {} }
  }
  codebook(): tf.Tensor {
    return tf.tensor2d(Array.from({ length: 8 }, (_, k) => [0, 1, 2].map(bit => ((k >> bit) & 1 ? 1 : -1))))
  }
}

// Two codes per vector, one per half.
class Pairs extends BaseQuantizer {
  protected override readonly codesPerVector: number = 2
  readonly dim: number = 4
  readonly codebookSize: number = 4
  readonly book: tf.Variable<tf.Rank.R2> = this.addParameter(
    'book',
    tf.tensor2d([
      [0, 0],
      [1, 0],
      [0, 1],
      [1, 1],
    ]),
  )
  protected encodeRows(rows: tf.Tensor2D): tf.Tensor {
    const bits = tf.cast(tf.greater(tf.reshape(rows, [-1, 2, 2]), 0.5), 'float32')
    return tf.cast(tf.sum(tf.mul(bits, [1, 2]), 2), 'int32')
  }
  protected decodeRows(indices: tf.Tensor): tf.Tensor2D {
    return tf.reshape(tf.gather(this.book, indices), [-1, 4])
  }
  protected quantizeRows(rows: tf.Tensor2D): RowsOutput {
    const indices = this.encodeRows(rows)
    const codes = this.decodeRows(indices)
    const straight = tf.customGrad(() => ({ value: tf.clone(codes), gradFunc: (dy: tf.Tensor) => dy }))
    const book = tf.mean(tf.squaredDifference(codes, rows)) as tf.Scalar
    return { quantized: straight(rows) as tf.Tensor2D, indices, losses: { book } }
  }
  codebook(): tf.Tensor {
    return tf.clone(this.book)
  }
}

class Two extends Module {
  readonly random: Random = new Random(4)
  readonly linear: Linear = this.addModule(
    'linear',
    new Linear({ inFeatures: 3, outFeatures: 5, random: this.random }),
  )
  readonly norm: BatchNorm = this.addModule('norm', new BatchNorm({ numFeatures: 5 }))
  forward(x: tf.Tensor): tf.Tensor {
    return tf.tanh(this.norm.forward(this.linear.forward(x)))
  }
}

class Words extends BaseEncoder {
  override readonly inputType: 'float32' | 'int32' = 'int32'
  override readonly takesMask: boolean = true
  readonly inputShape: readonly (number | null)[] = [null]
  readonly embeddingDim: number = 4
  readonly table: tf.Variable = this.addParameter(
    'table',
    tf.tensor(new Random(2).fillNormal(new Float32Array(40)), [10, 4]),
  )
  protected encode(ids: tf.Tensor, { mask }: EncodeOptions): EncoderOutput {
    const sequence = tf.gather(this.table, ids) as tf.Tensor3D
    const kept = tf.expandDims(mask === undefined ? tf.onesLike(ids) : tf.cast(mask, 'float32'), 2)
    const embedding = tf.div(tf.sum(tf.mul(sequence, kept), 1), tf.sum(kept, 1)) as tf.Tensor2D
    return { embedding, sequence }
  }
}

class Squares extends BaseDecoder {
  readonly inputShape: readonly (number | null)[] = [3]
  readonly outputShape: readonly (number | null)[] = [2, 2, 1]
  readonly linear: Linear = this.addModule(
    'linear',
    new Linear({ inFeatures: 3, outFeatures: 4, random: new Random(1) }),
  )
  protected decode(z: tf.Tensor): tf.Tensor {
    return tf.reshape(this.linear.forward(z), [-1, 2, 2, 1])
  }
}

// Normalises by the batch: in training one latent alone is refused.
class Normed extends Squares {
  readonly norm: BatchNorm = this.addModule('norm', new BatchNorm({ numFeatures: 3 }))
  readonly drop: Dropout = this.addModule('drop', new Dropout({ rate: 0.4 }))
  protected override decode(z: tf.Tensor): tf.Tensor {
    return super.decode(this.drop.forward(this.norm.forward(z)))
  }
}

// One parameter under two names.
class Tied extends Module {
  readonly linear: Linear = this.addModule(
    'linear',
    new Linear({ inFeatures: 3, outFeatures: 3, random: new Random(1) }),
  )
  readonly again: tf.Variable<tf.Rank.R2> = this.addParameter('again', this.linear.weight)
  forward(x: tf.Tensor): tf.Tensor {
    return tf.add(this.linear.forward(x), tf.matMul(x as tf.Tensor2D, this.again))
  }
}

class Ramps extends BaseDataset {
  readonly length: number = 7
  readonly shape: readonly number[] = [4]
  readonly ids: readonly string[] = ['a', 'b', 'c', 'd', 'e', 'f', 'g']
  protected read(indices: Int32Array): Float32Array {
    return Float32Array.from({ length: indices.length * 4 }, (_, i) => indices[i >> 2]! / 8 + (i & 3) / 100)
  }
}

class Edges extends SegmentationBackbone {
  readonly featureDim: number = 4
  readonly numClasses: number = 2
  readonly down: Conv2d = this.addModule(
    'down',
    new Conv2d({
      inChannels: 3,
      outChannels: 4,
      kernelSize: 3,
      stride: 2,
      padding: 1,
      random: new Random(6),
    }),
  )
  readonly out: Conv2d = this.addModule(
    'out',
    new Conv2d({ inChannels: 4, outChannels: 2, kernelSize: 1, random: new Random(7) }),
  )
  protected features(images: tf.Tensor4D): tf.Tensor4D {
    return tf.tanh(this.down.forward(images))
  }
  protected head(features: tf.Tensor4D): tf.Tensor4D {
    return this.out.forward(features)
  }
}

const input = (): tf.Tensor => tf.tensor2d(new Random(3).fillNormal(new Float32Array(12)), [4, 3])
const suites: Record<string, (make?: never) => ContractCheck[]> = {
  quantizer: (make = (() => new Grid()) as never) => quantizerContract(make),
  module: (make = (() => new Two()) as never) => moduleContract<Two>({ make, run: m => m.forward(input()) }),
  encoder: (make = (() => new Words()) as never) => encoderContract({ make, takesMask: true }),
  decoder: (make = (() => new Squares()) as never) => decoderContract({ make }),
  dataset: (make = (() => new Ramps()) as never) => datasetContract({ make, range: [0, 1] }),
  backbone: (make = (() => new Edges()) as never) => backboneContract({ make, imageShape: [8, 10, 3] }),
}

describe('a user’s own', () => {
  for (const [name, suite] of Object.entries(suites)) onEachBackend(name, suite())
  onEachBackend(
    'quantizer with two codes per vector',
    quantizerContract(() => new Pairs()),
  )
  onEachBackend('decoder with batch normalisation and dropout', decoderContract({ make: () => new Normed() }))
  onEachBackend(
    'module with a tied parameter',
    moduleContract<Tied>({ make: () => new Tied(), run: m => m.forward(input()) }),
  )
})

describe('our data sets', () => {
  const digits = () => coloredDigits({ count: 6, size: 16 })
  describe('coloredDigits', () => runChecks(datasetContract({ make: digits, range: [0, 1] })))
  describe('randomCrops', () =>
    runChecks(
      datasetContract({ make: () => randomCrops(digits(), { size: 8, copies: 2 }), range: [0, 1 + 1e-6] }),
    ))
  describe('tokens with masks', () => {
    const mask = { values: Int32Array.from({ length: 8 }, (_, i) => i & 1), shape: [4, 2] }
    const make = () => new ArrayDataset(Int32Array.from({ length: 8 }, (_, i) => i), [2], { mask }) // biome-ignore format: short
    runChecks(datasetContract({ make }))
    describe('subset', () => runChecks(datasetContract({ make: () => subset(make(), [3, 1]) })))
  })
  describe('subset', () => runChecks(datasetContract({ make: () => subset(digits(), [4, 1, 2]) })))
})

const leaked: tf.Tensor[] = []
let calls = 0
// Each breaks one promise; the check that must notice is named.
const broken: [suite: string, check: RegExp, make: () => unknown][] = [
  ['quantizer', /decodes its codes/, () => new (class extends Grid {
    protected override decodeRows(i: tf.Tensor): tf.Tensor2D { return tf.add(super.decodeRows(i), tf.scalar(calls++ * 0.5)) as tf.Tensor2D }
  })()],
  ['quantizer', /counts how often/, () => new (class extends Grid { override resetUsage(): void {} })()],
  ['quantizer', /codes that it does not have/, () => new (class extends Grid {
    override decode(i: tf.Tensor): tf.Tensor { return tf.gather(this.codebook(), tf.clipByValue(i, 0, 7)) }
  })()],
  ['quantizer', /shapes and types/, () => new (class extends Grid { override readonly codebookSize: number = 2
    override forward(z: tf.Tensor) { return { ...new Grid().forward(z), perplexity: tf.scalar(5) } } })()],
  ['quantizer', /decodes its codes/, () => new (class extends Grid {
    override decode(i: tf.Tensor): tf.Tensor { return tf.reshape(super.decode(i), [-1, this.dim]) }
  })()],
  ['quantizer', /has all the codes that it says/, () => new (class extends Grid { override readonly codebookSize: number = 9 })()],
  ['quantizer', /leaves masked vectors out/, () => new (class extends Grid {
    override encode(z: tf.Tensor, o: { mask?: tf.Tensor } = {}): tf.Tensor { if (o.mask) super.encode(tf.zeros([2, 3])); return super.encode(z, o) }
  })()],
  ['module', /copy of another/, () => new (class extends Two {
    readonly lost = tf.tidy(() => tf.variable(tf.zeros([5]), false))
    override forward(x: tf.Tensor): tf.Tensor {
      if (this.training) this.lost.assign(tf.add(this.lost, 1))
      return tf.add(super.forward(x), this.lost)
    }
    override dispose(): void { super.dispose(); this.lost.dispose() }
  })()],
  ['module', /copy of another/, () => new (class extends Two {
    override loadStateDict(state: StateDict, options?: { strict?: boolean }) {
      const result = super.loadStateDict(state, options)
      this.norm.runningMean?.assign(tf.zeros([5]))
      return result
    }
  })()],
  ['module', /has a gradient for every parameter/, () => new (class extends Two {
    readonly idle = this.addParameter('idle', tf.ones([2]))
  })()],
  ['module', /has a gradient for every parameter/, () => new (class extends Two {
    override forward(x: tf.Tensor): tf.Tensor {
      const wrong = tf.customGrad(x => ({ value: tf.square(x as tf.Tensor), gradFunc: (dy: tf.Tensor) => tf.mul(dy, x as tf.Tensor) }))
      return wrong(super.forward(x))
    }
  })()],
  ['module', /tensors over steps|left behind|same again/, () => new (class extends Two {
    override forward(x: tf.Tensor): tf.Tensor { leaked.push(tf.keep(tf.zeros([1]))); return super.forward(x) }
  })()],
  ['module', /changes no state/, () => new (class extends Two {
    readonly seen = this.addCounter('seen')
    override forward(x: tf.Tensor): tf.Tensor { this.seen.value++; return super.forward(x) }
  })()],
  ['module', /copy of another/, () => new (class extends Two {
    readonly hidden = tf.scalar(calls++)
    override forward(x: tf.Tensor): tf.Tensor { return tf.add(super.forward(x), this.hidden) }
    override dispose(): void { super.dispose(); this.hidden.dispose() }
  })()],
  ['encoder', /as it would alone/, () => new (class extends Words {
    protected override encode(x: tf.Tensor, o: EncodeOptions): EncoderOutput {
      const { embedding } = super.encode(x, o)
      return { embedding: tf.sub(embedding, tf.mean(embedding, 0, true)) as tf.Tensor2D }
    }
  })()],
  ['encoder', /mask leaves out/, () => new (class extends Words {
    protected override encode(x: tf.Tensor): EncoderOutput { return super.encode(x, {}) }
  })()],
  ['encoder', /different inputs apart/, () => new (class extends Words {
    protected override encode(x: tf.Tensor): EncoderOutput { return super.encode(tf.zerosLike(x), {}) }
  })()],
  ['encoder', /refuses other shapes/, () => new (class extends Words {
    override forward(x: tf.Tensor, o: EncodeOptions = {}): EncoderOutput { return tf.tidy(() => this.encode(tf.cast(tf.reshape(x, [-1, x.shape.at(-1)!]), 'int32'), o)) }
  })()],
  ['decoder', /of the shape that it says/, () => new (class extends Squares {
    override forward(z: tf.Tensor): tf.Tensor { return tf.reshape(super.forward(z), [-1, 4, 1]) }
  })()],
  ['decoder', /hands a gradient back/, () => new (class extends Squares {
    protected override decode(z: tf.Tensor): tf.Tensor { return super.decode(tf.add(tf.mul(z, 0), tf.tensor2d([[1, 2, 3]]))) }
  })()],
  ['dataset', /refuses numbers/, () => new (class extends Ramps {
    override batch(i: Int32Array): Float32Array { return this.read(i) }
  })()],
  ['dataset', /memory of its own/, () => new (class extends Ramps {
    readonly all = super.read(Int32Array.of(0, 1, 2, 3, 6))
    protected override read(i: Int32Array): Float32Array { return i.length === 5 ? this.all : super.read(i) }
  })()],
  ['dataset', /the same alone/, () => new (class extends Ramps {
    protected override read(i: Int32Array): Float32Array { return super.read(i).map(v => v + (calls++ % 97) / 1000) }
  })()],
  ['dataset', /belongs to a sample/, () => new (class extends Ramps {
    extras(i: Int32Array): Extras { return { place: { values: Int32Array.from(i, (_, at) => at), shape: [i.length] } } }
  })()],
  ['dataset', /names for every sample/, () => new (class extends Ramps { override readonly ids: readonly string[] = ['a', 'a'] })()],
  ['backbone', /only where they are not detached/, () => new (class extends Edges {
    override extractFeatures(x: tf.Tensor): tf.Tensor4D { return super.extractFeatures(x, { detach: false }) }
  })()],
  ['backbone', /features \[B, h, w/, () => new (class extends Edges { override readonly numClasses: number = 2
    override classify(f: tf.Tensor): tf.Tensor4D { return this.head(f as tf.Tensor4D) } })()],
] // biome-ignore format: one class a line

test.each(broken.map(([suite, check, make]) => ({ suite, check, make })))(
  'a $suite is caught that breaks $check',
  async ({ suite, check, make }) => {
    const error = await runContract(suites[suite]!(make as never)).catch(e => e)
    tf.dispose(leaked.splice(0))
    expect(error).toBeInstanceOf(AggregateError)
    expect((error as AggregateError).errors.map(e => e.message).join('\n')).toMatch(check)
  },
)
