import { DeviceArray } from '../cuda/device-array.js'

/** What native code left for rows that live on the device: handles, made arrays; for others its typed arrays. */
export function settled<T>(found: unknown, rows: number, dim: number, stays: boolean, what: 0 | 1 | 2): T {
  if (!stays) return found as T
  const floats = (handle: unknown): DeviceArray =>
    DeviceArray.adopt<Float32Array>(handle as number, rows * dim, 'Float32Array')
  const codes = (handle: unknown): DeviceArray<Int32Array> =>
    DeviceArray.adopt<Int32Array>(handle as number, rows, 'Int32Array')
  if (what === 0) return codes(found) as T
  if (what === 2) return floats(found) as T
  const { indices, quantized } = found as Record<'indices' | 'quantized', number>
  return { indices: codes(indices), quantized: floats(quantized) } as T
}

/** Codes and values of rows. */
export interface CodesAndValues {
  /** [N] */
  indices: Int32Array
  /** [N, D] */
  quantized: Float32Array
}

/** The same on the device. */
export interface DeviceCodesAndValues {
  indices: DeviceArray<Int32Array>
  quantized: DeviceArray
}
