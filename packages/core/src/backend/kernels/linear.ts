import { backend_util, type TensorInfo } from '@tensorflow/tfjs-core'
import { VqShapeError } from '../../errors.js'
import { sizeOf } from '../data.js'
import type { Kernel, KernelTable } from '../kernel.js'
import type { VqCpuBackend } from '../vq-cpu.js'
import { activate } from './activation.js'
import { binary } from './elementwise.js'

function batchMatMul(
  backend: VqCpuBackend,
  a: TensorInfo,
  b: TensorInfo,
  transposeA: boolean,
  transposeB: boolean,
): TensorInfo {
  const [ra, rb] = [a.shape.length, b.shape.length]
  const m = a.shape[ra - (transposeA ? 1 : 2)]
  const k = a.shape[ra - (transposeA ? 2 : 1)]
  const n = b.shape[rb - (transposeB ? 2 : 1)]
  const kb = b.shape[rb - (transposeB ? 1 : 2)]
  const [lead, leadB] = [a.shape.slice(0, -2), b.shape.slice(0, -2)]
  const [batchA, batchB] = [sizeOf(lead), sizeOf(leadB)]
  if (k !== kb || (batchA !== batchB && batchA !== 1 && batchB !== 1))
    throw new VqShapeError({
      operation: 'BatchMatMul',
      expected: 'equal inner sizes and equal or single batches',
      received: `[${a.shape}]${transposeA ? 'ᵀ' : ''} · [${b.shape}]${transposeB ? 'ᵀ' : ''}`,
      remedy: 'Transpose or broadcast one operand.',
    })
  const batch = Math.max(batchA, batchB) * Math.min(1, batchA, batchB)
  const out = backend.allocate([...backend_util.assertAndGetBroadcastShape(lead, leadB), m, n], 'float32')
  backend.run('MatMul', batch, batchA, batchB, m, n, k, transposeA, transposeB, a, b, out)
  return out
}

const fusedMatMul: Kernel = ({ a, b, bias, preluActivationWeights }, attrs, backend) => {
  let out = batchMatMul(backend, a, b, attrs.transposeA === true, attrs.transposeB === true)
  if (bias !== undefined && bias !== null) {
    const sum = binary(backend, 'Add', out, bias)
    backend.disposeData(out.dataId)
    out = sum
  }
  return activate(backend, out, attrs, preluActivationWeights)
}

/** Matrix products. */
export const linear: KernelTable = {
  BatchMatMul: ({ a, b }, { transposeA, transposeB }, backend) =>
    batchMatMul(backend, a, b, transposeA === true, transposeB === true),
  _FusedMatMul: fusedMatMul,
}
