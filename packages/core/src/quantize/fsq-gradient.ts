import { expectShape } from '../check.js'
import { DeviceArray, operand } from '../cuda/device-array.js'
import { placeOf } from '../cuda/place.js'
import { rowsOf } from './arrays.js'
import { callNow } from './call.js'
import { type FsqOptions, settings } from './fsq-encode.js'
import { settled } from './lattice-call.js'

/**
 * The gradient of z [N, D] from g [N, D], that of the values that {@link fsqQuantizeRows} makes of z: the rounding is passed
 * straight through, the bound by its derivative, s·(1 − tanh²(z + c)) with the s and c of each dimension's bound. The same
 * bits on every device and for every thread count. Where z is a DeviceArray, so is the result.
 *
 * Errors: VqConfigError (types, options), VqShapeError (lengths).
 * Source: Mentzer et al. 2023, https://arxiv.org/abs/2309.15505, section 3.
 *
 * @example
 * fsqGradient([Float32Array.of(0), Float32Array.of(2)], { levels: [3], bound: 'symmetric' }) // [2]
 */
export function fsqGradient(
  rows: readonly [z: Float32Array, g: Float32Array | DeviceArray],
  options: FsqOptions,
): Float32Array
export function fsqGradient(
  rows: readonly [z: DeviceArray, g: Float32Array | DeviceArray],
  options: FsqOptions,
): DeviceArray
export function fsqGradient(
  rows: readonly (Float32Array | DeviceArray)[],
  options: FsqOptions,
): Float32Array | DeviceArray {
  const operation = 'fsqGradient'
  const { levels, number, dim } = settings(operation, options)
  const two = Array.isArray(rows) && rows.length === 2
  expectShape(two, operation, 'the two arrays z and g', String(rows?.length), 'Pass [z, g].')
  const place = placeOf(operation, options.device, rows)
  const [z, g] = ['z', 'g'].map((name, i) => operand<Float32Array>(operation, name, rows[i], 'Float32Array'))
  const n = rowsOf(operation, 'z', z, dim)
  const lengths = `${z.length} and ${g.length} numbers`
  expectShape(
    g.length === z.length,
    operation,
    'z and g of one length',
    lengths,
    'Pass a row of each per vector.',
  )
  const stays = rows[0] instanceof DeviceArray
  const found = callNow(operation, options, (core, threads) =>
    place === undefined
      ? core.fsqGradient(z.native as Float32Array, g.native as Float32Array, levels, number, threads)
      : core.cudaFsqGradient(place, z.native, g.native, levels, number, stays),
  )
  return settled(found, n, dim, stays, 2)
}
