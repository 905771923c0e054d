import {
  type BackendValues,
  backend_util,
  type DataType,
  engine,
  KernelBackend,
  type TensorInfo,
  util,
  type Variable,
} from '@tensorflow/tfjs-core'
import { fromNative, VqShapeError, VqValueError } from '../errors.js'
import type { NativeCore } from '../native.js'
import {
  bytesPerElement,
  type DataId,
  dtypeCode,
  type Estate,
  NativeData,
  sizeOf,
  type TypedValues,
} from './data.js'
import { Forgotten } from './forgotten.js'

/** An argument of a native kernel: a tensor (its handle), a number, a flag, a shape (rank and sizes), or nothing (-1). */
export type Argument = TensorInfo | number | boolean | readonly number[] | null | undefined

/** The `vq-cpu` backend: tensors are native buffers behind integer handles, kernels are native calls. */
export class VqCpuBackend extends KernelBackend {
  readonly core: NativeCore
  // Data moved here from another backend, by the id it came with. What was made here is its own record while it lives here.
  private moved = new WeakMap<DataId, NativeData>()
  private count = 0
  // References taken by the kernel that is running.
  private taken: NativeData[] | undefined
  private readonly forgotten = new Forgotten(
    estate => this.bury(estate),
    () => this.core.account(),
  )

  constructor(core: NativeCore) {
    super()
    this.core = core
  }

  /** Runs a kernel. Where it throws, the tensors that it made and the references that it took are given back. */
  attempt<T>(kernel: () => T): T {
    const outer = this.taken
    const taken: NativeData[] = []
    this.taken = taken
    try {
      return kernel()
    } catch (error) {
      this.taken = undefined
      for (const data of taken) this.disposeData(data)
      throw error
    } finally {
      this.taken = outer
    }
  }

  /** A tensor of undefined contents. */
  allocate(shape: readonly number[], dtype: DataType): TensorInfo {
    for (const d of shape) if (!(d >= 0 && Number.isInteger(d))) throw noShape(shape)
    const dataId = this.create(sizeOf(shape), dtype)
    this.taken?.push(dataId)
    return { dataId, shape: shape as number[], dtype }
  }

  private create(size: number, dtype: DataType): NativeData {
    const bytes = size * bytesPerElement(dtype)
    let handle: number
    try {
      handle = this.core.allocate(bytes, dtypeCode(dtype))
    } catch (error) {
      throw fromNative('allocating a tensor', error)
    }
    const data = new NativeData(dtype, size, handle)
    this.count++
    this.forgotten.watch(data, bytes)
    return data
  }

  // The engine's counts follow, as if each tensor over this data had been disposed of.
  private bury({ handles, bytes, refs, ids }: Estate): void {
    for (const handle of handles) this.core.bury(handle)
    this.count -= ids
    const { state } = engine()
    state.numTensors -= refs
    state.numBytes -= refs * bytes
    state.numDataBuffers--
  }

  /** Calls native kernel `name`. */
  run(name: string, ...values: Argument[]): void {
    const { core } = this
    const { args } = core
    let n = 0
    for (let i = 0; i < values.length; i++) {
      const v = values[i]
      if (typeof v === 'number') args[n++] = v
      else if (v === null || v === undefined) args[n++] = -1
      else if (typeof v === 'boolean') args[n++] = v ? 1 : 0
      else if (Array.isArray(v)) {
        args[n++] = v.length
        for (let j = 0; j < v.length; j++) args[n++] = v[j]
      } else args[n++] = this.data((v as TensorInfo).dataId).handle
    }
    const op = core.ops[name]
    try {
      core.run(op === undefined ? -1 : op, n)
    } catch (error) {
      throw fromNative(name, error)
    }
  }

  /** What stands behind a data id. Data that lives on another backend is moved here first. */
  data(dataId: DataId): NativeData {
    const here = this.find(dataId)
    if (here !== undefined) return here
    const owner = engine().state.tensorInfo.get(dataId)?.backend
    if (owner !== undefined && owner !== this) engine().moveData(this, dataId)
    const data = this.find(dataId)
    if (data === undefined)
      throw new VqValueError({
        operation: 'vq-cpu',
        expected: 'a tensor that lives on this backend',
        received: 'a tensor that was disposed or belongs elsewhere',
        remedy: 'Keep tensors alive with tf.keep, or copy them before disposal.',
      })
    return data
  }

  private find(dataId: DataId): NativeData | undefined {
    return dataId instanceof NativeData && dataId.refs > 0 ? dataId : this.moved.get(dataId)
  }

  /** A tensor of given values: numbers in the dtype's own array, or encoded strings. */
  tensor(values: BackendValues, shape: readonly number[], dtype: DataType): TensorInfo {
    const dataId = this.store(values, shape, dtype)
    this.taken?.push(dataId)
    return { dataId, shape: shape as number[], dtype }
  }

  /** A complex tensor of two float32 tensors, whose references it takes over. */
  join(real: TensorInfo, imaginary: TensorInfo): TensorInfo {
    const parts = [this.sole(real), this.sole(imaginary)] as const
    for (const part of parts) this.forget(part)
    const dataId = this.joined(sizeOf(real.shape), parts)
    this.taken?.push(dataId)
    return { dataId, shape: real.shape, dtype: 'complex64' }
  }

  // The engine counts data by id: what a complex tensor holds is known to nobody else.
  private sole(x: TensorInfo): NativeData {
    const data = this.data(x.dataId)
    if (data.refs === 1) return data
    const copy = this.copy(x)
    this.disposeData(data)
    return copy.dataId as NativeData
  }

  private joined(size: number, parts: readonly [NativeData, NativeData]): NativeData {
    this.count++
    const data = new NativeData('complex64', size, -1, undefined, parts)
    for (const part of parts) {
      part.inner = true
      this.forgotten.unwatch(part)
    }
    this.forgotten.watch(data, 0)
    return data
  }

  /** The real or imaginary part of a complex tensor; no reference is taken. */
  part(x: TensorInfo, which: 0 | 1): TensorInfo {
    const { parts } = this.data(x.dataId)
    if (parts === undefined)
      throw new VqValueError({
        operation: 'vq-cpu',
        expected: 'a tensor of complex64',
        received: `a tensor of ${x.dtype}`,
        remedy: 'Make it complex with tf.complex or tf.cast.',
      })
    return { dataId: parts[which], shape: x.shape, dtype: 'float32' }
  }

  /** Another tensor over the same data. */
  alias(x: TensorInfo, shape: readonly number[]): TensorInfo {
    this.incRef(x.dataId)
    return { dataId: x.dataId, shape: shape as number[], dtype: x.dtype }
  }

  /**
   * Makes a variable the only owner of its data, so that a kernel may write to it in place: data that a clone or a view
   * shares is copied first.
   */
  own(variable: Variable): void {
    if (this.data(variable.dataId).refs === 1) return
    const copy = this.copy(variable)
    const tensor = engine().makeTensorFromTensorInfo(copy)
    variable.assign(tensor)
    tensor.dispose()
  }

  /** A copy that shares nothing. */
  copy(x: TensorInfo): TensorInfo {
    const out = this.allocate(x.shape, x.dtype)
    const size = sizeOf(x.shape)
    this.run('StridedCopy', dtypeCode(x.dtype), [size], x, 0, 1, out, 0, 1)
    return out
  }

  override write(values: BackendValues | null, shape: number[], dtype: DataType): DataId {
    return this.store(values, shape, dtype)
  }

  override move(
    dataId: DataId,
    values: BackendValues,
    shape: number[],
    dtype: DataType,
    refCount: number,
  ): void {
    const data = this.store(values, shape, dtype)
    data.refs = refCount
    if (data.estate !== undefined) data.estate.refs = refCount
    this.moved.set(dataId, data)
  }

  private store(values: BackendValues | null, shape: readonly number[], dtype: DataType): NativeData {
    const size = sizeOf(shape)
    if (dtype === 'string') {
      this.count++
      const data = new NativeData(dtype, size, -1, encodeStrings(values, size))
      this.forgotten.watch(data, 0)
      return data
    }
    if (dtype === 'complex64') {
      const { real, imag } = backend_util.splitRealAndImagArrays(
        (values as Float32Array | null) ?? new Float32Array(2 * size),
      )
      return this.joined(size, [
        this.store(real as Float32Array, shape, 'float32'),
        this.store(imag as Float32Array, shape, 'float32'),
      ])
    }
    dtypeCode(dtype)
    const data = this.create(size, dtype)
    if (values === null) return data
    try {
      typed('writing a tensor', () => this.core.write(data.handle, asDtype(values as TypedValues, dtype)))
    } catch (error) {
      this.disposeData(data)
      throw error
    }
    return data
  }

  override readSync(dataId: DataId): BackendValues {
    const data = this.data(dataId)
    if (data.strings !== undefined) return data.strings
    if (data.parts !== undefined) {
      const [real, imaginary] = data.parts.map(part => this.readSync(part) as Float32Array)
      return backend_util.mergeRealAndImagArrays(real, imaginary)
    }
    const values =
      data.dtype === 'bool'
        ? new Uint8Array(data.size)
        : data.dtype === 'int32'
          ? new Int32Array(data.size)
          : new Float32Array(data.size)
    typed('reading a tensor', () => this.core.read(data.handle, values))
    return values
  }

  /** The values of an int32 tensor, for kernels that read indices and sizes themselves. */
  integers(x: TensorInfo): Int32Array {
    const { dtype } = this.data(x.dataId)
    if (dtype === 'int32') return this.readSync(x.dataId) as Int32Array
    throw new VqValueError({
      operation: 'vq-cpu',
      expected: 'indices, splits and sizes of int32',
      received: `a tensor of ${dtype}`,
      remedy: "Convert them with tf.cast(x, 'int32').",
    })
  }

  override async read(dataId: DataId): Promise<BackendValues> {
    return this.readSync(dataId)
  }

  override disposeData(dataId: DataId, force = false): boolean {
    const data = this.find(dataId)
    if (data === undefined) return true
    this.forget(data)
    data.refs--
    if (data.estate !== undefined) data.estate.refs = data.refs
    if (!force && data.refs > 0) return false
    data.refs = 0
    this.forgotten.unwatch(data)
    if (data.handle >= 0) this.core.release(data.handle)
    this.moved.delete(dataId)
    this.count--
    for (const part of data.parts ?? []) this.disposeData(part)
    return true
  }

  // A reference that the running kernel took is no longer its own to give back.
  private forget(data: NativeData): void {
    const at = this.taken?.lastIndexOf(data) ?? -1
    if (at >= 0) this.taken?.splice(at, 1)
  }

  override refCount(dataId: DataId): number {
    return this.find(dataId)?.refs ?? 0
  }

  override incRef(dataId: DataId): void {
    const data = this.data(dataId)
    data.refs++
    if (data.estate !== undefined) data.estate.refs = data.refs
    this.taken?.push(data)
  }

  override numDataIds(): number {
    return this.count
  }

  override memory(): { unreliable: boolean; numBytes?: number; reasons: string[] } {
    return { unreliable: false, reasons: [] }
  }

  override async time(f: () => void): Promise<{ kernelMs: number }> {
    const start = util.now()
    f()
    return { kernelMs: util.now() - start }
  }

  override floatPrecision(): 16 | 32 {
    return 32
  }

  override epsilon(): number {
    return 1e-7
  }

  override dispose(): void {
    this.core.trim()
  }
}

function noShape(shape: readonly number[]): VqShapeError {
  return new VqShapeError({
    operation: 'vq-cpu',
    expected: 'a result whose sizes are whole numbers of at least 0',
    received: `[${shape}]`,
    remedy: 'Check the shapes and attributes passed in.',
  })
}

function typed<T>(operation: string, call: () => T): T {
  try {
    return call()
  } catch (error) {
    throw fromNative(operation, error)
  }
}

function asDtype(values: TypedValues, dtype: DataType): TypedValues {
  if (dtype === 'float32') return values instanceof Float32Array ? values : Float32Array.from(values)
  if (dtype === 'int32') return values instanceof Int32Array ? values : Int32Array.from(values)
  return values instanceof Uint8Array ? values : Uint8Array.from(values)
}

function encodeStrings(values: BackendValues | null, size: number): Uint8Array[] {
  if (values === null) return Array.from({ length: size }, () => new Uint8Array())
  // Not Array.from: what a tf.buffer left unset stays a hole, which tfjs does not decode.
  return (values as (Uint8Array | string)[]).map(v => (typeof v === 'string' ? util.encodeString(v) : v))
}
