import { backend_util, type TensorInfo, upcastType } from '@tensorflow/tfjs-core'
import { VqShapeError } from '../../errors.js'
import { sizeOf } from '../data.js'
import type { Kernel, KernelTable } from '../kernel.js'
import type { VqCpuBackend } from '../vq-cpu.js'
import { activate } from './activation.js'
import { binary, cast, fill } from './elementwise.js'

export function batchMatMul(
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
  const shape = [...backend_util.assertAndGetBroadcastShape(lead, leadB), m, n]
  if (k !== kb)
    throw new VqShapeError({
      operation: 'BatchMatMul',
      expected: 'equal inner sizes',
      received: `[${a.shape}]${transposeA ? 'ᵀ' : ''} · [${b.shape}]${transposeB ? 'ᵀ' : ''}`,
      remedy: 'Transpose or broadcast one operand.',
    })
  // Whole numbers stay whole (float32 would round above 2^24); beside a float they become floats.
  const dtype = upcastType(upcastType(a.dtype, b.dtype), 'int32')
  if (a.dtype !== dtype || b.dtype !== dtype) {
    const [left, right] = [cast(backend, a, dtype), cast(backend, b, dtype)]
    const out = batchMatMul(backend, left, right, transposeA, transposeB)
    for (const x of [left, right]) backend.disposeData(x.dataId)
    return out
  }
  const batch = sizeOf(shape.slice(0, -2))
  if ((batchA !== batch && batchA !== 1) || (batchB !== batch && batchB !== 1)) {
    const whole = [a, b].map(x => broadcastTo(backend, x, [...shape.slice(0, -2), ...x.shape.slice(-2)]))
    const out = batchMatMul(backend, whole[0], whole[1], transposeA, transposeB)
    for (const x of whole) backend.disposeData(x.dataId)
    return out
  }
  const out = backend.allocate(shape, dtype)
  const name = dtype === 'float32' ? 'MatMul' : 'MatMulInt32'
  backend.run(name, batch, batchA, batchB, m, n, k, transposeA, transposeB, a, b, out)
  return out
}

function broadcastTo(backend: VqCpuBackend, x: TensorInfo, shape: number[]): TensorInfo {
  const zero = fill(backend, shape, x.dtype, 0)
  const out = binary(backend, 'Add', zero, x)
  backend.disposeData(zero.dataId)
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
