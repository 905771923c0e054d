import { unfit } from '../pickle/builtins.js'
import { Flaw } from '../pickle/flaw.js'
import {
  PickleGlobal,
  PickleObject,
  type PickleValue,
  PyDict,
  PyList,
  PyTuple,
  type Spend,
  typeName,
} from '../pickle/values.js'
import { isSize } from '../stored-bytes.js'
import type { StoredType } from '../stored-tensor.js'
import { TorchStorage, TorchTensor } from './tensor.js'
import { TorchType } from './types.js'

type Args = readonly PickleValue[]

const mostAxes = 64
/** Tensors that repeat a part of their storage, as expanded ones do, may be this large whatever the file's size. */
const freelyRepeated = 2 ** 26

/** `torch.device`, as text. */
class TorchDevice extends PickleObject {
  readonly type = 'torch.device'
  override readonly hashable = true
  readonly #name: string

  constructor(args: Args) {
    super()
    if (typeof args[0] !== 'string' || args.length > 2 || !(args.length === 1 || Number.isInteger(args[1])))
      throw unfit('torch.device', args)
    this.#name = args.join(':')
  }

  plain(): string {
    return this.#name
  }
}

function sizesOf(value: PickleValue, what: string): number[] {
  const items = value instanceof PyTuple || value instanceof PyList ? value.items : undefined
  if (items === undefined || items.length > mostAxes || !items.every(isSize))
    throw new Flaw(`${what} of at most ${mostAxes} whole numbers`, typeName(value))
  return items as number[]
}

/** Throws where a tensor does not lie within its storage, or repeats it to more than the file's size. */
export function checkedTensor(tensor: TorchTensor, fileSize: number): TorchTensor {
  const { storage, count, width, span, shape, strides, offset } = tensor
  const needed = count === 0 ? 0 : (offset + span) * width
  if (!(needed <= storage.bytes))
    throw new Flaw(
      `a tensor within the ${storage.bytes} bytes of its storage`,
      `shape [${shape}], strides [${strides}], offset ${offset}`,
    )
  const largest = Math.max(fileSize, freelyRepeated)
  if (!(count * width <= largest))
    throw new Flaw(
      `tensors of at most ${largest} bytes, the file's size or 64 MiB`,
      `shape [${shape}] over a storage of ${storage.bytes} bytes`,
      'Expanded tensors repeat their values: save the tensor before it was expanded.',
    )
  return tensor
}

/** The functions that pickled tensors call, for a file of `fileSize` bytes. */
export function rebuilders(fileSize: number): (readonly [string, PickleGlobal])[] {
  function rebuild(
    name: string,
    args: Args,
    spend: Spend,
    dtype?: StoredType,
    metadata?: PickleValue,
  ): TorchTensor {
    const [storage, offset, size, stride] = args
    if (!(storage instanceof TorchStorage) || !isSize(offset)) throw unfit(name, args)
    const shape = sizesOf(size ?? null, 'a shape')
    const strides = sizesOf(stride ?? null, 'strides')
    spend(10 + 2 * shape.length)
    if (shape.length !== strides.length)
      throw new Flaw(`a stride for each of ${shape.length} axes`, `${strides.length} of them`)
    const { conj, neg } = viewed(metadata)
    return checkedTensor(
      new TorchTensor(storage, dtype ?? storage.dtype, offset, shape, strides, conj, neg),
      fileSize,
    )
  }

  const v1 = (args: Args, spend: Spend): TorchTensor => {
    if (args.length !== 4) throw unfit('_rebuild_tensor', args)
    return rebuild('_rebuild_tensor', args, spend)
  }
  const v2 = (args: Args, spend: Spend): TorchTensor => {
    if (args.length < 6 || args.length > 7) throw unfit('_rebuild_tensor_v2', args)
    return rebuild('_rebuild_tensor_v2', args, spend, undefined, args[6])
  }
  const v3 = (args: Args, spend: Spend): TorchTensor => {
    const type = args[6]
    if (args.length < 7 || args.length > 8 || !(type instanceof TorchType))
      throw unfit('_rebuild_tensor_v3', args)
    if (type.stored === undefined)
      throw new Flaw(
        'tensors of real or complex numbers',
        `one of type ${type.name}`,
        'Convert it to another type before saving.',
      )
    return rebuild('_rebuild_tensor_v3', args, spend, type.stored, args[7])
  }
  const parameter = (args: Args): TorchTensor => {
    const [tensor] = args
    if (!(tensor instanceof TorchTensor) || args.length > 4) throw unfit('Parameter', args)
    return tensor
  }
  const named = (
    module: string,
    name: string,
    make?: (args: Args, spend: Spend) => PickleValue,
  ): readonly [string, PickleGlobal] => [`${module} ${name}`, new PickleGlobal(`${module}.${name}`, make)]
  const plain = [
    named('torch._utils', '_rebuild_tensor', v1),
    named('torch._utils', '_rebuild_tensor_v2', v2),
    named('torch._utils', '_rebuild_tensor_v3', v3),
    named('torch._utils', '_rebuild_parameter', parameter),
    named('torch._utils', '_rebuild_parameter_with_state', parameter),
  ]
  const functions = new Set(plain.map(([, global]) => global))
  const classes = [
    named('torch', 'Tensor'),
    // What versions before 0.4 call, and what newer ones mention.
    named('torch.nn.parameter', 'Parameter', parameter),
    named('torch.autograd.variable', 'Variable', parameter),
  ]
  const allowed = new Set(classes.map(([, global]) => global))
  /** (function, class, its arguments, attributes): a tensor that somebody gave attributes, which are no part of its values. */
  const typed = (args: Args, spend: Spend): PickleValue => {
    const [rebuilt, type, inner] = args
    const known =
      rebuilt instanceof PickleGlobal &&
      functions.has(rebuilt) &&
      type instanceof PickleGlobal &&
      allowed.has(type)
    if (!known || !(inner instanceof PyTuple) || args.length !== 4) throw unfit('_rebuild_from_type_v2', args)
    return (rebuilt.make as (args: Args, spend: Spend) => PickleValue)(inner.items, spend)
  }
  const size = (args: Args, spend: Spend): PyTuple => {
    const [items] = args
    if (args.length !== 1 || !(items instanceof PyTuple || items instanceof PyList))
      throw unfit('torch.Size', args)
    spend(items.items.length)
    return new PyTuple(sizesOf(items, 'sizes'))
  }
  return [
    ...plain,
    ...classes,
    named('torch._tensor', '_rebuild_from_type_v2', typed),
    named('torch', 'Size', size),
    named('torch', 'device', args => new TorchDevice(args)),
  ]
}

function viewed(metadata: PickleValue | undefined): { conj: boolean; neg: boolean } {
  const flags = { conj: false, neg: false }
  if (metadata === undefined || metadata === null) return flags
  if (!(metadata instanceof PyDict))
    throw new Flaw('metadata of a tensor in a dictionary', typeName(metadata))
  for (const [key, value] of metadata.entries) {
    if ((key !== 'conj' && key !== 'neg') || typeof value !== 'boolean')
      throw new Flaw("metadata of a tensor: 'conj' and 'neg'", typeName(key))
    flags[key] = value
  }
  return flags
}
