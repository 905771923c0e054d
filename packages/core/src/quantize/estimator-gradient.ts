import { expectInteger, expectOneOf, expectShape } from '../check.js'
import { DeviceArray, operand } from '../cuda/device-array.js'
import { placeOf } from '../cuda/place.js'
import { rowsOf } from './arrays.js'
import { type CallOptions, callNow } from './call.js'

/** How a gradient passes a quantizer: as it is, turned and scaled with z → q, or along q − z alone. */
export type Estimator = 'ste' | 'rotation' | 'projection'
/** In the order of the native enumeration. */
export const estimators: readonly Estimator[] = ['ste', 'rotation', 'projection']

export interface EstimatorGradientOptions extends CallOptions {
  /** Length of a row. */
  dim: number
  estimator: Estimator
}

/**
 * The gradient of z [N, dim] from g [N, dim], that of its quantized form q [N, dim]; row by row:
 *
 * - 'ste': g.
 * - 'rotation': (‖q‖/‖z‖)·(g − 2r(r·g) + 2e(u·g)) with e = z/‖z‖, u = q/‖q‖, r = (e + u)/‖e + u‖.
 * - 'projection': (u·g)u with u = (q − z)/‖q − z‖.
 *
 * A row whose z, q or e + u, or whose q − z, is shorter than 1e-6 has no direction and gets g. One pass per row, float32; the
 * same bits on every device and for every thread count. Where z is a DeviceArray, so is the result.
 *
 * Errors: VqConfigError (types, options), VqShapeError (lengths).
 * Sources: Bengio et al. 2013, https://arxiv.org/abs/1308.3432; Fifty et al. 2024, https://arxiv.org/abs/2410.06424, section 4.
 *
 * @example
 * estimatorGradient([z, q, g], { dim: 2, estimator: 'projection' }) // z = [0, 0], q = [2, 0], g = [3, 5] → [3, 0]
 */
export function estimatorGradient(
  rows: readonly [z: Float32Array, q: Float32Array | DeviceArray, g: Float32Array | DeviceArray],
  options: EstimatorGradientOptions,
): Float32Array
export function estimatorGradient(
  rows: readonly [z: DeviceArray, q: Float32Array | DeviceArray, g: Float32Array | DeviceArray],
  options: EstimatorGradientOptions,
): DeviceArray
export function estimatorGradient(
  rows: readonly (Float32Array | DeviceArray)[],
  options: EstimatorGradientOptions,
): Float32Array | DeviceArray {
  const operation = 'estimatorGradient'
  const { dim, estimator, device } = options ?? {}
  expectInteger(operation, 'dim', dim, 1)
  expectOneOf(operation, 'estimator', estimator, estimators)
  expectShape(
    Array.isArray(rows) && rows.length === 3,
    operation,
    'the three arrays z, q and g',
    String(rows?.length),
    'Pass [z, q, g].',
  )
  const place = placeOf(operation, device, rows)
  const [z, q, g] = ['z', 'q', 'g'].map((name, i) =>
    operand<Float32Array>(operation, name, rows[i], 'Float32Array'),
  )
  rowsOf(operation, 'z', z, dim)
  const lengths = `${z.length}, ${q.length} and ${g.length} numbers`
  const fits = q.length === z.length && g.length === z.length
  expectShape(fits, operation, 'z, q and g of one length', lengths, 'Pass one row of each per vector.')
  const number = estimators.indexOf(estimator)
  const stays = rows[0] instanceof DeviceArray
  const found = callNow<Float32Array | number>(operation, options, (core, threads) =>
    place === undefined
      ? core.estimatorGradient(
          number,
          z.native as Float32Array,
          q.native as Float32Array,
          g.native as Float32Array,
          dim,
          threads,
        )
      : core.cudaEstimatorGradient(place, number, z.native, q.native, g.native, dim, stays),
  )
  return stays
    ? DeviceArray.adopt<Float32Array>(found as number, z.length, 'Float32Array')
    : (found as Float32Array)
}
