import type { TensorInfo } from '@tensorflow/tfjs-core'
import { badLabel, type CrossEntropyOptions } from '../../ops/softmax-cross-entropy.js'
import { sizeOf } from '../data.js'
import type { Attributes, KernelTable } from '../kernel.js'
import type { VqCpuBackend } from '../vq-cpu.js'

const lengths = (x: TensorInfo): [rows: number, columns: number] => [
  sizeOf(x.shape.slice(0, -1)),
  x.shape[x.shape.length - 1],
]

function int32At(backend: VqCpuBackend, x: TensorInfo, position: number): number {
  return backend.integers(x)[position]
}

/** Gradients of softmax and its logarithm; cross-entropy with whole-number labels. */
export const softmax: KernelTable = {
  VqSoftmaxGrad: ({ y, dy }, { logarithm }, backend) => {
    const dx = backend.allocate(y.shape, 'float32')
    backend.run('SoftmaxGrad', logarithm === true, ...lengths(y), y, dy, dx)
    return dx
  },
  VqCrossEntropy: ({ logits, labels }, attrs, backend) => {
    const [rows, classes] = lengths(logits)
    const { reduction } = attrs as unknown as Required<CrossEntropyOptions>
    const loss = backend.allocate(labels.shape, 'float32')
    const lse = backend.allocate([rows], 'float32')
    backend.run('CrossEntropy', rows, classes, ...settings(attrs), logits, labels, loss, lse)
    const answer = backend.core.args[0]
    if (answer < 0) throw badLabel(int32At(backend, labels, -1 - answer), -1 - answer, classes)
    if (reduction === 'none') return [loss, lse]
    const total = backend.allocate([], 'float32')
    // As PyTorch: the mean over no rows is 0/0.
    backend.run('Sum', 0, 1, rows, 1, reduction === 'mean' ? 1 / answer : 1, loss, total)
    backend.disposeData(loss.dataId)
    return [total, lse]
  },
  VqCrossEntropyGrad: ({ logits, labels, lse, dy }, attrs, backend) => {
    const { reduction } = attrs as unknown as Required<CrossEntropyOptions>
    const dx = backend.allocate(logits.shape, 'float32')
    const each = reduction === 'none'
    backend.run(
      'CrossEntropyGrad',
      ...lengths(logits),
      ...settings(attrs),
      reduction === 'mean',
      logits,
      labels,
      lse,
      each,
      dy,
      dx,
    )
    return dx
  },
}

function settings(attrs: Attributes): [smoothing: number, ignore: number] {
  const { labelSmoothing, ignoreIndex } = attrs as unknown as Required<CrossEntropyOptions>
  return [labelSmoothing, ignoreIndex]
}
