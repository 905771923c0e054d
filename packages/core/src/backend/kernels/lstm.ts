import type { TensorInfo } from '@tensorflow/tfjs-core'
import type { KernelTable } from '../kernel.js'
import type { Argument } from '../vq-cpu.js'

function sizes(x: TensorInfo, recurrent: TensorInfo, reverse: unknown, lengths: TensorInfo): Argument[] {
  return [...x.shape, recurrent.shape[0], reverse as boolean, lengths]
}

/** One direction of an LSTM layer. */
export const lstm: KernelTable = {
  VqLstm: ({ x, kernel, recurrentKernel, bias, h, c, lengths }, { reverse }, backend) => {
    const [batch, steps] = x.shape
    const hidden = recurrentKernel.shape[0]
    const made = [
      [batch, steps, hidden],
      [batch, hidden],
      [batch, hidden],
      [steps, batch, 4 * hidden],
      [steps + 1, batch, hidden],
      [steps + 1, batch, hidden],
    ].map(shape => backend.allocate(shape, 'float32'))
    const [y, hn, cn, gates, states, cells] = made
    const given = sizes(x, recurrentKernel, reverse, lengths)
    backend.run('Lstm', ...given, x, kernel, recurrentKernel, bias, h, c, y, gates, states, cells, hn, cn)
    return made
  },
  VqLstmGrad: (inputs, { reverse, bias }, backend) => {
    const { x, kernel, recurrentKernel, gates, states, cells, lengths, dy, dhn, dcn } = inputs
    const given = sizes(x, recurrentKernel, reverse, lengths)
    const shapes = [dhn.shape, dcn.shape, x.shape, kernel.shape, recurrentKernel.shape]
    if (bias === true) shapes.push([kernel.shape[1]])
    const made = shapes.map(shape => backend.allocate(shape, 'float32'))
    const [dh, dc, dx, dkernel, drecurrent, dbias] = made
    const saved = [x, kernel, recurrentKernel, gates, states, cells, dy, dhn, dcn]
    backend.run('LstmGrad', ...given, ...saved, dh, dc, dx, dkernel, drecurrent, dbias)
    return made
  },
}
