import type { Call, Fuzz, FuzzTable } from './call.js'
import type { Dtype, Rng, Values } from './rng.js'

/** Kernels that compute each element from the elements at the same place. */

const each = (names: string, fuzz: Fuzz): FuzzTable =>
  Object.fromEntries(names.split(' ').map(name => [name, fuzz]))

const wild = (r: Rng): number => r.pick([0, 0, 0.3])
const unary = (dtypes: readonly Dtype[], attrs?: (r: Rng) => Record<string, unknown>): Fuzz['call'] => {
  return r => ({ inputs: { x: r.tensor(r.shape(), r.pick(dtypes), wild(r)) }, attrs: attrs?.(r) ?? {} })
}
const binary = (pairs: readonly (readonly [Dtype, Dtype])[], a = 'a', b = 'b'): Fuzz['call'] => {
  return r => {
    const [one, other] = r.pair()
    const [p, q] = r.pick(pairs)
    const share = wild(r)
    return { inputs: { [a]: r.tensor(one, p, share), [b]: r.tensor(other, q, share) } }
  }
}
const real = [['float32', 'float32'], ['int32', 'int32']] as const // biome-ignore format: pairs
// Operands of one dtype, as tfjs's ops pass them on; the plain backend gives others the first one's.
const complex = [...real, ['complex64', 'complex64']] as const
const ordered = [...real, ['bool', 'bool'], ['string', 'string']] as const

const isLarge = (x: Values, limit: number): boolean => x.data.some(v => Math.abs(v as number) > limit)
// It multiplies integers as doubles, which round above 2^53; and broadcasts complex numbers to NaN.
const inexact = ({ inputs: { a, b } }: Call): boolean => {
  const [x, y] = [a, b] as Values[]
  if (x.dtype === 'int32') return isLarge(x, 2 ** 26) || isLarge(y, 2 ** 26)
  return x.dtype === 'complex64' && `${x.shape}` !== `${y.shape}`
}

export const elementwise: FuzzTable = {
  ...each('Sqrt Reciprocal IsNan IsInf IsFinite', { call: unary(['float32']), tolerance: 2e-7 }),
  ...each(
    'Rsqrt Exp Expm1 Log Log1p Sigmoid Tanh Sin Cos Elu Softplus Tan Asin Acos Atan Sinh Cosh Asinh Acosh Atanh Erf Selu',
    { call: unary(['float32']), tolerance: 1e-5 },
  ),
  Abs: {
    call: unary(['float32', 'int32']),
    // It keeps integers as float32 for a while.
    plainIsWrong: ({ inputs: { x } }) => (x as Values).dtype === 'int32' && isLarge(x as Values, 2 ** 24),
  },
  ...each('Floor Ceil Round Relu Relu6 Sign', { call: unary(['float32', 'int32']) }),
  Square: { call: unary(['float32']), tolerance: 2e-7 },
  Neg: { call: unary(['float32', 'int32', 'complex64']) },
  ...each('Identity ZerosLike', { call: unary(['float32', 'int32', 'bool', 'complex64']) }),
  OnesLike: { call: unary(['float32', 'int32', 'bool', 'complex64']) },
  LeakyRelu: { call: unary(['float32'], r => ({ alpha: r.pick([0.2, 0, -1, 2]) })), tolerance: 2e-7 },
  Step: { call: unary(['float32'], r => ({ alpha: r.pick([0, 0.5, -1]) })) },
  ClipByValue: {
    call: unary(['float32', 'int32'], r => {
      const low = r.int(-3, 1)
      return { clipValueMin: low, clipValueMax: low + r.int(0, 3) }
    }),
  },
  LogicalNot: { call: unary(['bool']) },
  Cast: {
    call: r => ({
      inputs: { x: r.tensor(r.shape(), r.pick(['float32', 'int32', 'bool', 'complex64']), wild(r)) },
      attrs: { dtype: r.pick(['float32', 'int32', 'bool', 'complex64']) },
    }),
    // It leaves int32 as it is and calls it float32, digits that no float32 has included.
    plainIsWrong: ({ inputs: { x }, attrs }) =>
      (x as Values).dtype === 'int32' &&
      attrs?.dtype !== 'int32' &&
      (x as Values).data.some(v => v !== Math.fround(v as number)),
  },
  ...each('Add Sub', { call: binary(complex), tolerance: 2e-7, plainIsWrong: inexact }),
  Multiply: { call: binary(complex), tolerance: 2e-6, plainIsWrong: inexact },
  ...each('Maximum Minimum', { call: binary(real) }),
  SquaredDifference: { call: binary(real), tolerance: 5e-7, plainIsWrong: inexact },
  ...each('RealDiv FloorDiv Mod', { call: binary(real), tolerance: 2e-7 }),
  Pow: {
    call: binary(real),
    tolerance: 1e-5,
    // 1 to the power of anything is 1, as in C, NumPy and PyTorch; JavaScript's is NaN beside NaN and infinities.
    plainIsWrong: ({ inputs: { a, b } }) =>
      (a as Values).data.some(v => Math.abs(v as number) === 1) &&
      (b as Values).data.some(v => !Number.isFinite(v)),
  },
  Atan2: { call: binary([['float32', 'float32']]), tolerance: 1e-5 },
  BitwiseAnd: { call: binary([['int32', 'int32']]) },
  ...each('Equal NotEqual Greater GreaterEqual Less LessEqual', { call: binary(ordered) }),
  ...each('LogicalAnd LogicalOr', { call: binary([['bool', 'bool']]) }),
  Prelu: { call: binary([['float32', 'float32']], 'x', 'alpha'), tolerance: 2e-7 },
  EluGrad: {
    call: r => {
      const shape = r.shape()
      return { inputs: { dy: r.tensor(shape, 'float32', wild(r)), y: r.tensor(shape) } }
    },
    tolerance: 2e-7,
  },
  AddN: {
    call: r => {
      const shape = r.shape()
      const dtype = r.pick(['float32', 'int32'] as const)
      const count = r.int(1, 5)
      return {
        inputs: Object.fromEntries(Array.from({ length: count }, (_, i) => [i, r.tensor(shape, dtype)])),
      }
    },
    tolerance: 2e-6,
  },
  Select: {
    call: r => {
      const shape = r.shape()
      const dtype = r.pick(['float32', 'int32', 'bool', 'complex64'] as const)
      const lead = shape.length > 1 && r.chance(0.2)
      return {
        inputs: {
          condition: r.tensor(lead ? [shape[0]] : shape, 'bool'),
          t: r.tensor(shape, dtype, wild(r)),
          e: r.tensor(shape, dtype, wild(r)),
        },
      }
    },
    // It does not know complex numbers, and repeats the first elements where a vector chooses along the first axis.
    plainIsWrong: ({ inputs: { condition, t } }) =>
      (t as Values).dtype === 'complex64' || `${(condition as Values).shape}` !== `${(t as Values).shape}`,
  },
  Fill: {
    call: r => {
      const dtype = r.pick(['float32', 'int32', 'bool', 'string'] as const)
      return { inputs: {}, attrs: { shape: r.shape(), value: r.value(dtype, 0.3), dtype } }
    },
  },
  Complex: {
    call: r => {
      const shape = r.shape()
      return {
        inputs: { real: r.tensor(shape, 'float32', wild(r)), imag: r.tensor(shape, 'float32', wild(r)) },
      }
    },
  },
  ...each('Real Imag', { call: r => ({ inputs: { input: r.tensor(r.shape(), 'complex64', wild(r)) } }) }),
  ComplexAbs: {
    call: r => ({ inputs: { x: r.tensor(r.shape(), 'complex64', wild(r)) } }),
    tolerance: 2e-7,
  },
}
