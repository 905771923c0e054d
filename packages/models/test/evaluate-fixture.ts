import { loadSafetensors, type StoredTensor } from '@vq/core/io'

// Written with scikit-image, scikit-learn and scipy by test/oracle/evaluate.py.
const { tensors } = await loadSafetensors(
  new URL('../../../test/oracle/evaluate.safetensors', import.meta.url).pathname,
)

export function stored(name: string): StoredTensor {
  const found = tensors[name]
  if (found === undefined) throw new Error(`${name} is not in test/oracle/evaluate.safetensors`)
  return found as StoredTensor
}

export function numbers(name: string): number[] {
  return Array.from(stored(name).data as Float64Array)
}

/** The whole numbers of a tensor, some rows of it. */
export function whole(name: string, from = 0, to?: number): Int32Array {
  const { data, shape } = stored(name)
  const width = shape[1] ?? 1
  return Int32Array.from(
    (data as Int32Array).subarray(from * width, to === undefined ? undefined : to * width),
  )
}

/** A matrix as { features, dim }, some rows of it. */
export function rows(name: string, from = 0, to?: number): { features: Float64Array; dim: number } {
  const { data, shape } = stored(name)
  const dim = shape[1]!
  return { features: (data as Float64Array).slice(from * dim, to === undefined ? undefined : to * dim), dim }
}
