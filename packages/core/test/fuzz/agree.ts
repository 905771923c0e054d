import { expect, test } from 'vitest'
import {
  type Call,
  difference,
  type Fuzz,
  type FuzzTable,
  isTyped,
  type Outcome,
  outcome,
  show,
} from './call.js'
import { Rng, sizeOf, type Values } from './rng.js'

const full = process.env.VQ_TEST_FULL === '1'
/** VQ_FUZZ_SEED starts elsewhere; VQ_FUZZ_RUNS sets how many calls a kernel gets. */
export const firstSeed = Number(process.env.VQ_FUZZ_SEED ?? 1)
export const runs = Number(process.env.VQ_FUZZ_RUNS ?? (full ? 2000 : 100))

/** What the plain backend answers; kernels that move complex numbers it does part by part. */
function plainly(name: string, entry: Fuzz, call: Call): Outcome {
  const whole = outcome('cpu', name, call, entry.plain)
  if (!('error' in whole) || !whole.error.message.includes('does not support complex64')) return whole
  const [real, imaginary] = [0, 1].map(k => {
    const part = (v: Values): Values =>
      v.dtype === 'complex64' ? { ...v, dtype: 'float32', data: v.data.filter((_, i) => i % 2 === k) } : v
    const inputs = Object.entries(call.inputs).map(([key, v]) => [
      key,
      Array.isArray(v) ? v.map(part) : v && part(v),
    ])
    return outcome('cpu', name, { ...call, inputs: Object.fromEntries(inputs) })
  })
  if ('error' in real || 'error' in imaginary) return real
  const results = real.results.map((r, i) => ({
    shape: r.shape,
    dtype: 'complex64',
    data: r.data.flatMap((v, j) => [v, imaginary.results[i].data[j]]),
  }))
  return { results }
}

// What the plain backend cannot do: complex numbers and NCHW in many kernels, strings and complex numbers without
// elements, ends before the begin.
const plainLacks =
  /does not support complex64|Only NHWC|Cannot read properties of undefined|Failed to decode|Negative size values|must match the product/

/** Fuzzes each kernel of a table against the plain backend. */
export function fuzz(family: FuzzTable): void {
  for (const [name, entry] of Object.entries(family))
    test(`${name} answers as the plain backend does, whatever the shapes and values`, {
      timeout: 600_000,
    }, () => {
      let compared = 0
      for (let seed = firstSeed; seed < firstSeed + runs; seed++) {
        const call = entry.call(new Rng(seed))
        const wrong = check(name, entry, call)
        if (wrong === '') compared++
        else if (wrong !== undefined)
          expect.fail(`${name}, VQ_FUZZ_SEED=${seed}: ${wrong}\n${show(call).slice(0, 3000)}`)
      }
      // A generator whose calls all fall under an exception would test nothing.
      if (entry.alone === undefined) expect(compared).toBeGreaterThan(runs / 16)
    })
}

/** What is wrong with the answer to a call: '' where it was compared, undefined where there was nothing to compare. */
function check(name: string, entry: Fuzz, call: Call): string | undefined {
  const ours = outcome('vq-cpu', name, call)
  if ('error' in ours && !isTyped(ours.error)) return `threw ${ours.error.stack}`
  if (entry.alone !== undefined || entry.plainIsWrong?.(call) === true)
    return 'error' in ours ? `refused: ${ours.error.message}` : undefined
  const plain = plainly(name, entry, call)
  if ('error' in plain && plainLacks.test(plain.error.message)) return undefined
  if ('error' in plain)
    return 'error' in ours ? '' : `the plain backend throws: ${plain.error.message}; ours answered`
  if ('error' in ours) return `refused: ${ours.error.message}`
  // Here and there the plain backend's shape and values contradict each other, on tensors without elements for one.
  if (plain.results.some(p => p.data.length !== sizeOf(p.shape) * (p.dtype === 'complex64' ? 2 : 1)))
    return undefined
  return difference(plain.results, ours.results, entry.tolerance ?? 0) ?? ''
}
