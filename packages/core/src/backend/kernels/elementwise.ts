import { backend_util, type DataType, type TensorInfo, upcastType, util } from '@tensorflow/tfjs-core'
import { VqValueError } from '../../errors.js'
import { dtypeCode, sizeOf } from '../data.js'
import type { Kernel, KernelTable } from '../kernel.js'
import type { VqCpuBackend } from '../vq-cpu.js'

const arithmetic = [
  'Add', 'Sub', 'Multiply', 'RealDiv', 'FloorDiv', 'Mod', 'Maximum', 'Minimum', 'Pow', 'SquaredDifference',
  'BitwiseAnd',
] // biome-ignore format: a list
const comparisons = [
  'Equal', 'NotEqual', 'Greater', 'GreaterEqual', 'Less', 'LessEqual', 'LogicalAnd', 'LogicalOr',
] // biome-ignore format: a list
const floatOnly = [
  'Sqrt', 'Rsqrt', 'Exp', 'Expm1', 'Log', 'Log1p', 'Sigmoid', 'Tanh', 'Sin', 'Cos', 'Reciprocal', 'Elu', 'Softplus',
  'Tan', 'Asin', 'Acos', 'Atan', 'Sinh', 'Cosh', 'Asinh', 'Acosh', 'Atanh', 'Erf', 'Selu',
] // biome-ignore format: a list

/** Copies x into a tensor of another dtype. */
export function cast(backend: VqCpuBackend, x: TensorInfo, dtype: DataType): TensorInfo {
  if (x.dtype === dtype) return backend.alias(x, x.shape)
  if (x.dtype === 'complex64') {
    const real = backend.part(x, 0)
    return dtype === 'float32' ? backend.copy(real) : cast(backend, real, dtype)
  }
  if (dtype === 'complex64')
    return backend.join(cast(backend, x, 'float32'), fill(backend, x.shape, 'float32', 0))
  const out = backend.allocate(x.shape, dtype)
  backend.run('Cast', dtypeCode(x.dtype), dtypeCode(dtype), sizeOf(x.shape), x, out)
  return out
}

/** Runs a native binary kernel with broadcasting; operands of different dtypes are raised to the wider one. */
export function binary(
  backend: VqCpuBackend,
  name: string,
  a: TensorInfo,
  b: TensorInfo,
  result?: DataType,
): TensorInfo {
  if (a.dtype === 'complex64' || b.dtype === 'complex64') return complexBinary(backend, name, a, b)
  const dtype = a.dtype === b.dtype ? a.dtype : upcastType(a.dtype, b.dtype)
  const left = a.dtype === dtype ? a : cast(backend, a, dtype)
  const right = b.dtype === dtype ? b : cast(backend, b, dtype)
  const shape = util.arraysEqual(a.shape, b.shape)
    ? a.shape
    : backend_util.assertAndGetBroadcastShape(a.shape, b.shape)
  const out = backend.allocate(shape, result ?? dtype)
  backend.run(name, dtypeCode(dtype), left, a.shape, right, b.shape, out, shape)
  if (left !== a) backend.disposeData(left.dataId)
  if (right !== b) backend.disposeData(right.dataId)
  return out
}

function complexBinary(backend: VqCpuBackend, name: string, a: TensorInfo, b: TensorInfo): TensorInfo {
  const [left, right] = [cast(backend, a, 'complex64'), cast(backend, b, 'complex64')]
  const combine = (kernel: string, i: 0 | 1, j: 0 | 1): TensorInfo =>
    binary(backend, kernel, backend.part(left, i), backend.part(right, j))
  const join = (kernel: string, one: TensorInfo, other: TensorInfo): TensorInfo => {
    const out = binary(backend, kernel, one, other)
    for (const x of [one, other]) backend.disposeData(x.dataId)
    return out
  }
  let out: TensorInfo
  if (name === 'Add' || name === 'Sub') out = backend.join(combine(name, 0, 0), combine(name, 1, 1))
  else if (name === 'Multiply')
    out = backend.join(
      join('Sub', combine(name, 0, 0), combine(name, 1, 1)),
      join('Add', combine(name, 0, 1), combine(name, 1, 0)),
    )
  else
    throw new VqValueError({
      operation: `kernel ${name} on vq-cpu`,
      expected: 'real operands; complex ones can be added, subtracted and multiplied',
      received: `${a.dtype} and ${b.dtype}`,
      remedy: 'Compute on tf.real(x) and tf.imag(x).',
    })
  for (const x of [left, right]) backend.disposeData(x.dataId)
  return out
}

/** Runs a native unary float kernel; p and q are its attributes. */
export function unary(backend: VqCpuBackend, name: string, x: TensorInfo, p = 0, q = 0): TensorInfo {
  const source = cast(backend, x, 'float32')
  const out = backend.allocate(x.shape, 'float32')
  backend.run(name, sizeOf(x.shape), source, out, p, q)
  backend.disposeData(source.dataId)
  return out
}

/** A tensor filled with one value. */
export function fill(
  backend: VqCpuBackend,
  shape: readonly number[],
  dtype: DataType,
  value: number,
): TensorInfo {
  const out = backend.allocate(shape, dtype)
  backend.run('Fill', dtypeCode(dtype), sizeOf(shape), value, out)
  return out
}

function binaryWithScalar(
  backend: VqCpuBackend,
  name: string,
  x: TensorInfo,
  value: number,
  result?: DataType,
): TensorInfo {
  const scalar = fill(backend, [], x.dtype, value)
  const out = binary(backend, name, x, scalar, result)
  backend.disposeData(scalar.dataId)
  return out
}

// Integers do not go through float32, which would round those above 2^24.
const onIntegers: Record<string, Kernel> = {
  Abs: ({ x }, _, b) => {
    const negative = onIntegers.Neg({ x }, {}, b) as TensorInfo
    const out = binary(b, 'Maximum', x, negative)
    b.disposeData(negative.dataId)
    return out
  },
  Neg: ({ x }, _, b) => {
    const zero = fill(b, [], x.dtype, 0)
    const out = binary(b, 'Sub', zero, x)
    b.disposeData(zero.dataId)
    return out
  },
  Square: ({ x }, _, b) => binary(b, 'Multiply', x, x),
  Floor: ({ x }, _, b) => b.alias(x, x.shape),
  Ceil: ({ x }, _, b) => b.alias(x, x.shape),
  Round: ({ x }, _, b) => b.alias(x, x.shape),
  Relu: ({ x }, _, b) => binaryWithScalar(b, 'Maximum', x, 0),
  Relu6: ({ x }, _, b) => clip(b, x, 0, 6),
  ClipByValue: ({ x }, { clipValueMin, clipValueMax }, b) =>
    clip(b, x, clipValueMin as number, clipValueMax as number),
  Sign: ({ x }, _, b) => clip(b, x, -1, 1),
}

function clip(backend: VqCpuBackend, x: TensorInfo, low: number, high: number): TensorInfo {
  const above = binaryWithScalar(backend, 'Maximum', x, low)
  const out = binaryWithScalar(backend, 'Minimum', above, high)
  backend.disposeData(above.dataId)
  return out
}

const unaryWith =
  (name: string, attributes: (attrs: Record<string, unknown>) => [number, number] = () => [0, 0]): Kernel =>
  ({ x }, attrs, backend) => {
    if (x.dtype === 'int32' && name in onIntegers) return onIntegers[name]({ x }, attrs, backend)
    return unary(backend, name, x, ...attributes(attrs))
  }

const classify =
  (which: number): Kernel =>
  ({ x }, _, backend) => {
    const source = cast(backend, x, 'float32')
    const out = backend.allocate(x.shape, 'bool')
    backend.run('Classify', which, sizeOf(x.shape), source, out)
    backend.disposeData(source.dataId)
    return out
  }

/** Kernels that compute each element from the elements at the same place. */
export const elementwise: KernelTable = {
  ...Object.fromEntries(
    arithmetic.map((name): [string, Kernel] => [name, ({ a, b }, _, backend) => binary(backend, name, a, b)]),
  ),
  ...Object.fromEntries(
    comparisons.map((name): [string, Kernel] => [
      name,
      ({ a, b }, _, backend) => binary(backend, name, a, b, 'bool'),
    ]),
  ),
  ...Object.fromEntries(
    [...floatOnly, ...Object.keys(onIntegers)].map((name): [string, Kernel] => [name, unaryWith(name)]),
  ),
  // As tfjs defines it, the result is int32 whatever the operands are.
  FloorDiv: ({ a, b }, _, backend) => {
    const [left, right] = [a, b].map(x => cast(backend, x, x.dtype === 'bool' ? 'int32' : x.dtype))
    const out = binary(backend, 'FloorDiv', left, right, 'int32')
    for (const x of [left, right]) backend.disposeData(x.dataId)
    return out
  },
  Prelu: ({ x, alpha }, _, backend) => binary(backend, 'Prelu', x, alpha),
  EluGrad: ({ dy, y }, _, backend) => binary(backend, 'EluGrad', dy, y),
  // The angle is no integer, whatever the operands are.
  Atan2: ({ a, b }, _, backend) => {
    const y = cast(backend, a, 'float32')
    const out = binary(backend, 'Atan2', y, b)
    backend.disposeData(y.dataId)
    return out
  },
  LeakyRelu: unaryWith('LeakyRelu', ({ alpha }) => [alpha as number, 0]),
  Step: ({ x }, { alpha }, backend) => {
    const steps = unary(backend, 'Step', x, alpha as number)
    const out = cast(backend, steps, x.dtype)
    backend.disposeData(steps.dataId)
    return out
  },
  ClipByValue: unaryWith('ClipByValue', ({ clipValueMin, clipValueMax }) => [
    clipValueMin as number,
    clipValueMax as number,
  ]),
  IsNan: classify(0),
  IsInf: classify(1),
  IsFinite: classify(2),
  LogicalNot: ({ x }, _, backend) => {
    const out = backend.allocate(x.shape, 'bool')
    backend.run('LogicalNot', sizeOf(x.shape), x, out)
    return out
  },
  AddN: (inputs, _, backend) => {
    const terms = Object.values(inputs)
    let total = backend.alias(terms[0], terms[0].shape)
    for (const term of terms.slice(1)) {
      const next = binary(backend, 'Add', total, term)
      backend.disposeData(total.dataId)
      total = next
    }
    return total
  },
  Cast: ({ x }, { dtype }, backend) => cast(backend, x, dtype as DataType),
  Fill: (_, { shape, value, dtype }, backend) =>
    typeof value === 'string'
      ? backend.tensor(
          new Array<Uint8Array>(sizeOf(shape as number[])).fill(util.encodeString(value)),
          shape as number[],
          'string',
        )
      : fill(backend, shape as number[], (dtype as DataType | undefined) ?? 'float32', Number(value)),
  ZerosLike: ({ x }, _, backend) => fill(backend, x.shape, x.dtype, 0),
  OnesLike: ({ x }, _, backend) =>
    x.dtype === 'complex64'
      ? backend.join(fill(backend, x.shape, 'float32', 1), fill(backend, x.shape, 'float32', 0))
      : fill(backend, x.shape, x.dtype, 1),
  Select: ({ condition, t, e }, _, backend) => {
    const dtype = upcastType(t.dtype, e.dtype)
    const [then, otherwise] = [cast(backend, t, dtype), cast(backend, e, dtype)]
    // A condition of lower rank chooses along the first axis.
    const rank = t.shape.length
    const lead =
      condition.shape.length < rank && condition.shape.length === 1 && condition.shape[0] === t.shape[0]
    const conditionShape = lead
      ? [...condition.shape, ...new Array<number>(rank - 1).fill(1)]
      : condition.shape
    const shape = backend_util.assertAndGetBroadcastShape(
      conditionShape,
      backend_util.assertAndGetBroadcastShape(t.shape, e.shape),
    )
    const out = backend.allocate(shape, dtype)
    backend.run(
      'Select',
      dtypeCode(dtype),
      condition,
      conditionShape,
      then,
      t.shape,
      otherwise,
      e.shape,
      out,
      shape,
    )
    backend.disposeData(then.dataId)
    backend.disposeData(otherwise.dataId)
    return out
  },
}
