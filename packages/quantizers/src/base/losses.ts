import { tf } from '@vq/core'

/** The mean of each loss over several dictionaries with the same entries. */
export function meanLosses(all: Record<string, tf.Scalar>[]): Record<string, tf.Scalar> {
  if (all.length === 1) return all[0]
  return Object.fromEntries(
    Object.keys(all[0]).map(name => [name, tf.div(tf.addN(all.map(losses => losses[name])), all.length)]),
  )
}
