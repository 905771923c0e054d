import * as tf from '@tensorflow/tfjs-core'
import { expectConfig, expectInteger, expectNumber, expectShape } from '../check.js'
import { type LstmState, type LstmWeights, lstm } from '../ops/lstm.js'
import { dropout } from '../ops/random.js'
import type { Random } from '../random.js'
import { generatorState, loadGeneratorState } from './generator-state.js'
import { expectTensor, optionsOf } from './given.js'
import { linearLayout } from './layout.js'
import { Module } from './module.js'
import { likeTorch } from './start.js'

export interface LSTMOptions {
  inputSize: number
  hiddenSize: number
  /** Layers, each reading the outputs of the one before. Default 1. */
  numLayers?: number
  /** Whether each layer also runs from the end to the start. Default false. */
  bidirectional?: boolean
  /** Share of each layer's outputs but the last's set to 0 in training, in [0, 1]. Default 0. */
  dropout?: number
  /** Default true. */
  bias?: boolean
  /** Draws the initial weights and what is dropped. Default: the global generator. */
  random?: Random
}

export interface LSTMInputs {
  /** Steps of each sequence, from 0 to T: what stands behind is padding, whose output is 0. Default: T for all. */
  lengths?: ArrayLike<number>
  /** h and c, [numLayers·directions, B, hiddenSize] each, a layer's directions side by side. Default zeros. */
  initialState?: LstmState
}

// A type, not an interface: tf.tidy wants an index signature.
export type LSTMOutput = {
  /** [B, T, directions·hiddenSize], of the last layer. */
  output: tf.Tensor3D
  /** [numLayers·directions, B, hiddenSize], after each sequence's last step. */
  h: tf.Tensor3D
  /** As h. */
  c: tf.Tensor3D
}

// The two kernels and the two biases of one direction of one layer.
interface Direction {
  input: tf.Variable<tf.Rank.R2>
  recurrent: tf.Variable<tf.Rank.R2>
  biases: readonly tf.Variable<tf.Rank.R1>[]
}

/**
 * Long short-term memory, x [B, T, inputSize], PyTorch's LSTM with batch_first: on disk `weight_ih_l0` [4H, I],
 * `weight_hh_l0` [4H, H], `bias_ih_l0`, `bias_hh_l0` [4H], of further layers `_l1`, …, of the way back `_reverse`, gates in
 * the order i, f, g, o. Everything starts in ±1/√hiddenSize.
 * Throws VqConfigError for options out of range, VqShapeError for other shapes, VqValueError for lengths outside 0 … T.
 * Source: Hochreiter and Schmidhuber 1997, https://doi.org/10.1162/neco.1997.9.8.1735, with forget gates.
 */
export class LSTM extends Module {
  readonly inputSize: number
  readonly hiddenSize: number
  readonly numLayers: number
  readonly bidirectional: boolean
  readonly dropout: number
  private readonly layers: readonly (readonly Direction[])[]
  private readonly random: Random | undefined

  constructor(options: LSTMOptions) {
    super()
    const {
      inputSize,
      hiddenSize,
      numLayers = 1,
      bidirectional = false,
      bias = true,
      random,
    } = optionsOf('LSTM', options)
    const { dropout = 0 } = options
    expectInteger('LSTM', 'inputSize', inputSize, 1)
    expectInteger('LSTM', 'hiddenSize', hiddenSize, 1)
    expectInteger('LSTM', 'numLayers', numLayers, 1, 1000)
    expectNumber('LSTM', 'dropout', dropout, 0, 1)
    expectConfig(
      dropout === 0 || numLayers > 1,
      'LSTM',
      'dropout 0 with one layer: it is applied between layers',
      dropout,
      'Use more layers, or a Dropout behind the LSTM.',
    )
    this.inputSize = inputSize
    this.hiddenSize = hiddenSize
    this.numLayers = numLayers
    this.bidirectional = bidirectional
    this.dropout = dropout
    this.random = random
    const suffixes = bidirectional ? ['', '_reverse'] : ['']
    this.layers = Array.from({ length: numLayers }, (_, layer) =>
      suffixes.map(suffix => {
        const inputs = layer === 0 ? inputSize : hiddenSize * suffixes.length
        return this.direction(`l${layer}${suffix}`, inputs, bias)
      }),
    )
  }

  private direction(name: string, inputs: number, bias: boolean): Direction {
    const { hiddenSize, random } = this
    const gates = 4 * hiddenSize
    const kernel = (part: string, rows: number): tf.Variable<tf.Rank.R2> => {
      const start = likeTorch<tf.Rank.R2>([rows, gates], hiddenSize, random)
      return this.addParameter(`weight_${part}_${name}`, start, linearLayout)
    }
    const offset = (part: string): tf.Variable<tf.Rank.R1> =>
      this.addParameter(`bias_${part}_${name}`, likeTorch<tf.Rank.R1>([gates], hiddenSize, random))
    const [input, recurrent] = [kernel('ih', inputs), kernel('hh', hiddenSize)]
    return { input, recurrent, biases: bias ? [offset('ih'), offset('hh')] : [] }
  }

  /** x: [B, T, inputSize]. */
  forward(x: tf.Tensor, { lengths, initialState }: LSTMInputs = {}): LSTMOutput {
    expectTensor('LSTM.forward', x)
    if (initialState !== undefined)
      for (const name of ['h', 'c'] as const)
        expectTensor('LSTM.forward', initialState?.[name], ['float32'], `initialState.${name}`)
    const { inputSize, layers, hiddenSize } = this
    const directions = layers[0].length
    const states = [layers.length * directions, x.shape[0], hiddenSize]
    const given = initialState === undefined ? [] : [initialState.h, initialState.c]
    expectShape(
      x.rank === 3 && x.shape[2] === inputSize && given.every(s => tf.util.arraysEqual(s.shape, states)),
      'LSTM.forward',
      `x [B, T, ${inputSize}] and states [${states}]`,
      [x, ...given].map(t => `[${t.shape.join(', ')}]`).join(', '),
      'Batches come first in x, layers in states.',
    )
    return tf.tidy(() => {
      let y = x as tf.Tensor3D
      const [h, c]: tf.Tensor3D[][] = [[], []]
      for (const [i, layer] of layers.entries()) {
        if (i > 0 && this.training && this.dropout > 0)
          y = dropout(y, this.dropout, this.random ? { generator: this.random } : {}) as tf.Tensor3D
        const part = (s: tf.Tensor3D): tf.Tensor3D =>
          tf.slice(s, [i * directions, 0, 0], [directions, states[1], hiddenSize])
        const result = lstm(y, weightsOf(layer), {
          ...(lengths && { lengths }),
          ...(initialState && { initialState: { h: part(initialState.h), c: part(initialState.c) } }),
        })
        y = result.output // [B, T, directions·H]
        h.push(result.h)
        c.push(result.c)
      }
      return { output: y, h: tf.concat(h, 0), c: tf.concat(c, 0) }
    })
  }

  /** A generator of its own goes on where a checkpoint left it. */
  override extraState(): unknown {
    return generatorState(this.random, this.dropout)
  }

  override loadExtraState(state: unknown): void {
    loadGeneratorState(this.random, state)
  }
}

function weightsOf(layer: readonly Direction[]): LstmWeights | [LstmWeights, LstmWeights] {
  const [forwards, backwards] = layer.map(({ input, recurrent, biases }) => ({
    kernel: input,
    recurrentKernel: recurrent,
    bias: biases.length === 0 ? undefined : tf.add<tf.Tensor1D>(biases[0], biases[1]),
  }))
  return backwards === undefined ? forwards : [forwards, backwards]
}
