import { tf } from '@vq/core'
import * as nn from '@vq/core/nn'

/** How a case of test/oracle/nn.py is made and run here. */
export interface Case {
  make: () => nn.Module
  /** Whether channels are second in the oracle. */
  image?: boolean
  /** Default true. */
  training?: boolean
  /** Whether buffers move. */
  after?: boolean
  // biome-ignore lint/suspicious/noExplicitAny: every case has a module of its own
  forward: (module: any, ...inputs: any[]) => tf.Tensor | Record<string, tf.Tensor>
}

const layer = (make: () => nn.Module, more: Partial<Case> = {}): Case => ({
  make,
  forward: (m: nn.Layer, x: tf.Tensor) => m.forward(x),
  ...more,
})
const onImages = (make: () => nn.Module, more: Partial<Case> = {}): Case =>
  layer(make, { image: true, ...more })

const convolutions: Record<string, Case> = {
  conv1d: onImages(
    () =>
      new nn.Conv1d({
        inChannels: 4,
        outChannels: 6,
        kernelSize: 3,
        stride: 2,
        padding: 2,
        dilation: 2,
        groups: 2,
      }),
  ),
  'conv1d-same': onImages(
    () => new nn.Conv1d({ inChannels: 3, outChannels: 2, kernelSize: 4, padding: 'same' }),
  ),
  conv2d: onImages(
    () => new nn.Conv2d({ inChannels: 3, outChannels: 4, kernelSize: 3, stride: 2, padding: 1 }),
  ),
  'conv2d-uneven': onImages(
    () =>
      new nn.Conv2d({
        inChannels: 3,
        outChannels: 4,
        kernelSize: [3, 2],
        stride: [2, 1],
        padding: [0, 1],
        dilation: [1, 2],
      }),
  ),
  'conv2d-dilated': onImages(
    () =>
      new nn.Conv2d({
        inChannels: 2,
        outChannels: 3,
        kernelSize: 3,
        stride: 2,
        padding: 2,
        dilation: 2,
        bias: false,
      }),
  ),
  'conv2d-same': onImages(
    () =>
      new nn.Conv2d({ inChannels: 2, outChannels: 3, kernelSize: [4, 3], padding: 'same', dilation: [1, 2] }),
  ),
  'conv2d-groups': onImages(
    () => new nn.Conv2d({ inChannels: 6, outChannels: 4, kernelSize: 3, padding: 1, stride: 2, groups: 2 }),
  ),
  'conv2d-depthwise': onImages(
    () => new nn.Conv2d({ inChannels: 3, outChannels: 6, kernelSize: 3, padding: 1, groups: 3 }),
  ),
  'conv2d-depthwise-dilated': onImages(
    () =>
      new nn.Conv2d({
        inChannels: 3,
        outChannels: 3,
        kernelSize: 3,
        stride: 2,
        padding: 2,
        dilation: 2,
        groups: 3,
      }),
  ),
  conv3d: onImages(
    () => new nn.Conv3d({ inChannels: 2, outChannels: 3, kernelSize: 3, stride: 2, padding: 1 }),
  ),
  'conv3d-uneven': onImages(
    () =>
      new nn.Conv3d({
        inChannels: 2,
        outChannels: 4,
        kernelSize: [2, 3, 1],
        stride: [1, 2, 1],
        padding: [1, 0, 2],
        dilation: [2, 1, 1],
        groups: 2,
      }),
  ),
  convtranspose2d: onImages(
    () => new nn.ConvTranspose2d({ inChannels: 3, outChannels: 4, kernelSize: 4, stride: 2, padding: 1 }),
  ),
  'convtranspose2d-uneven': onImages(
    () =>
      new nn.ConvTranspose2d({
        inChannels: 4,
        outChannels: 6,
        kernelSize: [3, 2],
        stride: [2, 3],
        padding: [1, 0],
        outputPadding: [1, 2],
        dilation: [2, 1],
        groups: 2,
      }),
  ),
  'convtranspose2d-depthwise': onImages(
    () =>
      new nn.ConvTranspose2d({
        inChannels: 3,
        outChannels: 3,
        kernelSize: 3,
        stride: 2,
        padding: 1,
        outputPadding: 1,
        groups: 3,
      }),
  ),
  'convtranspose2d-beyond': onImages(
    () =>
      new nn.ConvTranspose2d({
        inChannels: 2,
        outChannels: 3,
        kernelSize: 2,
        padding: [1, 0],
        outputPadding: 2,
        dilation: 3,
      }),
  ),
  convtranspose3d: onImages(
    () =>
      new nn.ConvTranspose3d({
        inChannels: 2,
        outChannels: 3,
        kernelSize: 3,
        stride: 2,
        padding: 1,
        outputPadding: 1,
      }),
  ),
  'convtranspose3d-uneven': onImages(
    () =>
      new nn.ConvTranspose3d({
        inChannels: 2,
        outChannels: 4,
        kernelSize: [2, 3, 2],
        stride: [1, 2, 2],
        padding: [0, 1, 0],
        outputPadding: [0, 1, 0],
        groups: 2,
      }),
  ),
}

const norms: Record<string, Case> = {
  batchnorm: onImages(() => new nn.BatchNorm({ numFeatures: 3 }), { after: true }),
  'batchnorm-evaluation': onImages(() => new nn.BatchNorm({ numFeatures: 3 }), { training: false }),
  'batchnorm-cumulative': {
    make: () => new nn.BatchNorm({ numFeatures: 3, momentum: null, affine: false }),
    after: true,
    forward: (m: nn.BatchNorm, a: tf.Tensor, b: tf.Tensor) => ({ first: m.forward(a), second: m.forward(b) }),
  },
  'batchnorm-untracked': layer(
    () => new nn.BatchNorm({ numFeatures: 3, trackRunningStats: false, epsilon: 1e-3 }),
    {
      training: false,
    },
  ),
  layernorm: layer(() => new nn.LayerNorm({ numFeatures: 6 })),
  'layernorm-axes': layer(() => new nn.LayerNorm({ normalizedShape: [3, 4], epsilon: 1e-3, bias: false })),
  'layernorm-map': onImages(() => new nn.LayerNorm({ normalizedShape: [3, 4, 2], featureMap: true })),
  'layernorm-plain': layer(() => new nn.LayerNorm({ numFeatures: 6, affine: false })),
  groupnorm: onImages(() => new nn.GroupNorm({ numGroups: 2, numChannels: 6 })),
}

type Attention = nn.MultiHeadAttention
const attention: Record<string, Case> = {
  attention: layer(() => new nn.MultiHeadAttention({ embedDim: 8, numHeads: 2 })),
  'attention-causal': {
    make: () => new nn.MultiHeadAttention({ embedDim: 8, numHeads: 2, bias: false }),
    forward: (m: Attention, x: tf.Tensor) => m.forward(x, { causal: true }),
  },
  'attention-cross': {
    make: () => new nn.MultiHeadAttention({ embedDim: 8, numHeads: 4 }),
    forward: (m: Attention, query: tf.Tensor, key: tf.Tensor) => m.forward(query, { key }),
  },
  'attention-masks': {
    make: () => new nn.MultiHeadAttention({ embedDim: 8, numHeads: 2 }),
    forward: (
      m: Attention,
      query: tf.Tensor,
      key: tf.Tensor,
      value: tf.Tensor,
      keyMask: tf.Tensor,
      mask: tf.Tensor,
    ) => m.forward(query, { key, value, keyMask, mask }),
  },
  'attention-widths': {
    make: () => new nn.MultiHeadAttention({ embedDim: 6, numHeads: 2, kdim: 4, vdim: 5 }),
    forward: (m: Attention, query: tf.Tensor, key: tf.Tensor, value: tf.Tensor) =>
      m.forward(query, { key, value }),
  },
}

const size = { embedDim: 8, numHeads: 2, feedForwardDim: 12, dropout: 0 }
const decoder = { ...size, crossAttention: true }
const blocks: Record<string, Case> = {
  encoder: layer(() => new nn.TransformerBlock(size)),
  'encoder-prenorm': {
    make: () => new nn.TransformerBlock({ ...size, preNorm: true, activation: 'gelu' }),
    forward: (m: nn.TransformerBlock, x: tf.Tensor, keyMask: tf.Tensor) => m.forward(x, { keyMask }),
  },
  decoder: {
    make: () => new nn.TransformerBlock(decoder),
    forward: (m: nn.TransformerBlock, x: tf.Tensor, memory: tf.Tensor) =>
      m.forward(x, { memory, causal: true }),
  },
  'decoder-prenorm': {
    make: () => new nn.TransformerBlock({ ...decoder, preNorm: true, activation: 'gelu', bias: false }),
    forward: (m: nn.TransformerBlock, x: tf.Tensor, memory: tf.Tensor, memoryKeyMask: tf.Tensor) =>
      m.forward(x, { memory, memoryKeyMask }),
  },
}

const named = ({ output, h, c }: nn.LSTMOutput): Record<string, tf.Tensor> => ({ '': output, h, c })
const recurrent: Record<string, Case> = {
  lstm: {
    make: () => new nn.LSTM({ inputSize: 4, hiddenSize: 3 }),
    forward: (m: nn.LSTM, x: tf.Tensor) => named(m.forward(x)),
  },
  'lstm-two': {
    make: () => new nn.LSTM({ inputSize: 4, hiddenSize: 3, numLayers: 2, bidirectional: true }),
    forward: (m: nn.LSTM, x: tf.Tensor, lengths: tf.Tensor, h: tf.Tensor3D, c: tf.Tensor3D) =>
      named(m.forward(x, { lengths: lengths.dataSync(), initialState: { h, c } })),
  },
  'lstm-without-bias': {
    make: () => new nn.LSTM({ inputSize: 3, hiddenSize: 2, bias: false }),
    forward: (m: nn.LSTM, x: tf.Tensor) => named(m.forward(x)),
  },
}

const plain: Record<string, Case> = {
  relu: layer(() => new nn.ReLU()),
  leakyrelu: layer(() => new nn.LeakyReLU({ negativeSlope: 0.2 })),
  gelu: layer(() => new nn.GELU()),
  'gelu-tanh': layer(() => new nn.GELU({ approximate: 'tanh' })),
  silu: layer(() => new nn.SiLU()),
  elu: layer(() => new nn.ELU()),
  'elu-steep': layer(() => new nn.ELU({ alpha: 1.7 })),
  softplus: layer(() => new nn.Softplus()),
  'softplus-steep': layer(() => new nn.Softplus({ beta: 3 })),
  sigmoid: layer(() => new nn.Sigmoid()),
  tanh: layer(() => new nn.Tanh()),
  softmax: layer(() => new nn.Softmax()),
  maxpool2d: onImages(() => new nn.MaxPool2d({ kernelSize: 2 })),
  'maxpool2d-padded': onImages(() => new nn.MaxPool2d({ kernelSize: [3, 2], stride: [2, 1], padding: 1 })),
  maxpool3d: onImages(() => new nn.MaxPool3d({ kernelSize: [2, 3, 2], stride: 2, padding: [1, 1, 0] })),
  avgpool2d: onImages(() => new nn.AvgPool2d({ kernelSize: 3, stride: 2, padding: 1 })),
  'avgpool2d-inside': onImages(
    () => new nn.AvgPool2d({ kernelSize: 3, stride: 2, padding: 1, countIncludePad: false }),
  ),
  adaptive: onImages(() => new nn.AdaptiveAvgPool2d({ outputSize: [3, 2] })),
  'adaptive-one': onImages(() => new nn.AdaptiveAvgPool2d({ outputSize: 1 })),
  nearest: onImages(() => new nn.Upsample({ scaleFactor: 2 })),
  'nearest-size': onImages(() => new nn.Upsample({ size: [7, 4] })),
  'nearest-scale': onImages(() => new nn.Upsample({ scaleFactor: [1.5, 2.6] })),
  'nearest-rounded': onImages(() => new nn.Upsample({ scaleFactor: [1.1, 2.1] })),
  'bilinear-rounded': onImages(() => new nn.Upsample({ scaleFactor: [1.1, 2.1], mode: 'bilinear' })),
  bilinear: onImages(() => new nn.Upsample({ scaleFactor: 2, mode: 'bilinear' })),
  'bilinear-size': onImages(() => new nn.Upsample({ size: [2, 7], mode: 'bilinear' })),
  'bilinear-scale': onImages(() => new nn.Upsample({ scaleFactor: 1.5, mode: 'bilinear' })),
}

class Tied extends nn.Module {
  readonly table = this.addModule('table', new nn.Embedding({ numEmbeddings: 6, embeddingDim: 4 }))
  readonly head = this.addModule(
    'head',
    new nn.Linear({ inFeatures: 4, outFeatures: 6, bias: false, tiedWeight: this.table.weight }),
  )
}

export const cases: Record<string, Case> = {
  linear: layer(() => new nn.Linear({ inFeatures: 5, outFeatures: 4 })),
  'linear-without-bias': layer(() => new nn.Linear({ inFeatures: 5, outFeatures: 4, bias: false })),
  ...convolutions,
  ...norms,
  embedding: layer(() => new nn.Embedding({ numEmbeddings: 5, embeddingDim: 3 })),
  'embedding-padding': layer(() => new nn.Embedding({ numEmbeddings: 5, embeddingDim: 3, paddingIdx: 1 })),
  ...attention,
  ...blocks,
  ...recurrent,
  ...plain,
  flattened: onImages(
    () =>
      new nn.Sequential(
        new nn.Conv2d({ inChannels: 2, outChannels: 3, kernelSize: 3, padding: 1 }),
        new nn.ReLU(),
        new nn.Flatten(),
        new nn.Linear({ inFeatures: 60, outFeatures: 4, flattenedFrom: [4, 5, 3] }),
        new nn.Linear({ inFeatures: 4, outFeatures: 30, unflattenedTo: [2, 5, 3] }),
        new nn.Unflatten({ shape: [2, 5, 3] }),
        new nn.ConvTranspose2d({ inChannels: 3, outChannels: 2, kernelSize: 2, stride: 2 }),
      ),
  ),
  'flattened-video': onImages(
    () =>
      new nn.Sequential(
        new nn.Conv3d({ inChannels: 1, outChannels: 2, kernelSize: 2 }),
        new nn.Flatten(),
        new nn.Linear({
          inFeatures: 12,
          outFeatures: 12,
          flattenedFrom: [2, 3, 1, 2],
          unflattenedTo: [3, 4],
        }),
        new nn.Unflatten({ shape: [3, 4] }),
      ),
  ),
  tied: {
    make: () => new Tied(),
    forward: (m: Tied, ids: tf.Tensor) => tf.tidy(() => m.head.forward(tf.tanh(m.table.forward(ids)))),
  },
}
