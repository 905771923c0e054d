import { backend_util, type TensorInfo } from '@tensorflow/tfjs-core'
import { VqShapeError } from '../../errors.js'
import { sizeOf } from '../data.js'
import type { KernelTable } from '../kernel.js'
import type { VqCpuBackend } from '../vq-cpu.js'
import { batchMatMul } from './linear.js'
import { transpose } from './movement.js'
import { reductions } from './reduce.js'

/** A tensor whose axes have names. The tensor is its own, to be disposed. */
interface Term {
  tensor: TensorInfo
  axes: string[]
}

function sumOver(backend: VqCpuBackend, term: Term, gone: (axis: string) => boolean): Term {
  const axis = term.axes.flatMap((a, i) => (gone(a) ? [i] : []))
  if (axis.length === 0) return term
  const tensor = reductions.Sum({ x: term.tensor }, { axis, keepDims: false }, backend) as TensorInfo
  backend.disposeData(term.tensor.dataId)
  return { tensor, axes: term.axes.filter(a => !gone(a)) }
}

function arrange(backend: VqCpuBackend, term: Term, axes: string[]): Term {
  if (axes.every((a, i) => a === term.axes[i])) return term
  const tensor = transpose(
    backend,
    term.tensor,
    axes.map(a => term.axes.indexOf(a)),
  )
  backend.disposeData(term.tensor.dataId)
  return { tensor, axes }
}

/** Two terms as one: shared axes that stay are batches, those that go are summed in one matrix product. */
function contract(backend: VqCpuBackend, a: Term, b: Term, out: string[]): Term {
  const stays = new Set(out)
  const [one, other] = [
    sumOver(backend, a, axis => !stays.has(axis) && !b.axes.includes(axis)),
    sumOver(backend, b, axis => !stays.has(axis) && !a.axes.includes(axis)),
  ]
  const shared = one.axes.filter(axis => other.axes.includes(axis))
  const batch = shared.filter(axis => stays.has(axis))
  const summed = shared.filter(axis => !stays.has(axis))
  const [freeA, freeB] = [one, other].map(t => t.axes.filter(axis => !shared.includes(axis)))
  const left = arrange(backend, one, [...batch, ...freeA, ...summed])
  const right = arrange(backend, other, [...batch, ...summed, ...freeB])
  const length = (t: Term, axes: string[]): number => sizeOf(axes.map(x => t.tensor.shape[t.axes.indexOf(x)]))
  const shapeOf = (t: Term, axes: string[]): number[] => axes.map(x => t.tensor.shape[t.axes.indexOf(x)])
  const [n, m, k] = [length(left, batch), length(left, freeA), length(left, summed)]
  const l = { ...left.tensor, shape: [n, m, k] }
  const r = { ...right.tensor, shape: [n, k, length(right, freeB)] }
  const product = batchMatMul(backend, l, r, false, false)
  const shape = [...shapeOf(left, batch), ...shapeOf(left, freeA), ...shapeOf(right, freeB)]
  for (const t of [left, right]) backend.disposeData(t.tensor.dataId)
  return { tensor: { ...product, shape }, axes: [...batch, ...freeA, ...freeB] }
}

/** Sums of products by names of axes. */
export const einsums: KernelTable = {
  Einsum: (inputs, { equation }, backend) => {
    const tensors = Object.values(inputs)
    const { allDims, idDims } = backend_util.decodeEinsumEquation(equation as string, tensors.length)
    backend_util.checkEinsumDimSizes(allDims.length, idDims, tensors as never)
    const out = [...(equation as string).replace(/\s/g, '').split('->')[1]]
    if (new Set(out).size !== out.length)
      throw new VqShapeError({
        operation: 'einsum',
        expected: 'each name once in the result',
        received: `'${equation}'`,
        remedy: 'Name the repeated axis once and take the diagonal afterwards.',
      })
    const terms = tensors.map(
      (t, i): Term => ({ tensor: backend.alias(t, t.shape), axes: idDims[i].map(d => allDims[d]) }),
    )
    const stays = new Set(out)
    const term =
      terms.length === 1
        ? sumOver(backend, terms[0], axis => !stays.has(axis))
        : contract(backend, terms[0], terms[1], out)
    return arrange(backend, term, out).tensor
  },
}
