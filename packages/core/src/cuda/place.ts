import { expectConfig, expectOneOf } from '../check.js'
import { DeviceArray } from './device-array.js'
import { cudaDevice } from './library.js'

/** Where a call computes: the number of a CUDA device, or undefined for the CPU. */
export type Place = number | undefined

/**
 * Where a call with this `device` option and these arrays computes. One DeviceArray among them is enough to mean CUDA.
 * Throws a VqDeviceError with the reason where CUDA is asked for and cannot be had.
 */
export function placeOf(operation: string, device: unknown, arrays: readonly unknown[]): Place {
  const resident = arrays.some(a => a instanceof DeviceArray)
  if (device === undefined && !resident) return undefined
  if (device !== undefined) expectOneOf(operation, 'device', device, ['cpu', 'cuda'])
  if (device === 'cpu') {
    const remedy = "Read the DeviceArray first, or leave device: 'cpu' out."
    expectConfig(!resident, operation, "typed arrays with device: 'cpu'", 'a DeviceArray', remedy)
    return undefined
  }
  return cudaDevice(operation)
}
