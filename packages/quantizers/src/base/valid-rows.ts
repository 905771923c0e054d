import { expectConfig, tf, VqShapeError, VqValueError } from '@vq/core'
import type { QuantizeOptions } from './quantizer.js'

/** Which of the vectors [...lead] count, ascending; undefined where all do. */
export function validRows(
  operation: string,
  lead: readonly number[],
  { mask, lengths }: QuantizeOptions,
): Int32Array | undefined {
  if (mask === undefined && lengths === undefined) return undefined
  const flags = mask === undefined ? undefined : flagsOf(operation, lead, mask)
  const valid = lengths === undefined ? undefined : beforeEnd(operation, lead, lengths)
  const size = lead.reduce((a, b) => a * b, 1)
  const all = Int32Array.from({ length: size }, (_, i) => i)
  return all.filter(i => (flags === undefined || flags[i] !== 0) && (valid === undefined || valid(i)))
}

function flagsOf(operation: string, lead: readonly number[], mask: tf.Tensor): ArrayLike<number> {
  expectConfig(
    mask instanceof tf.Tensor,
    operation,
    'the mask as a tensor',
    mask,
    'Make one: tf.tensor(flags).',
  )
  const fits = mask.shape.length === lead.length && mask.shape.every((n, i) => n === lead[i])
  if (fits) return mask.dataSync()
  throw new VqShapeError({
    operation,
    expected: `a mask [${lead.join(', ')}]`,
    received: `[${mask.shape.join(', ')}]`,
    remedy: 'Pass one flag per vector.',
  })
}

// Whether vector i lies before the end of its sequence: axis 1 is time.
function beforeEnd(
  operation: string,
  lead: readonly number[],
  lengths: tf.Tensor | ArrayLike<number>,
): (i: number) => boolean {
  const values = 'dataSync' in lengths ? lengths.dataSync() : lengths
  if (lead.length < 2 || values.length !== lead[0])
    throw new VqShapeError({
      operation,
      expected: 'vectors [B, T, …, D] and B lengths',
      received: `[${lead.join(', ')}, D] and ${values.length} lengths`,
      remedy: 'Pass the number of valid steps of each sequence.',
    })
  const [, steps, ...inner] = lead
  for (let b = 0; b < values.length; b++)
    if (!Number.isInteger(values[b]) || values[b] < 0 || values[b] > steps)
      throw new VqValueError({
        operation,
        expected: `lengths from 0 to ${steps}`,
        received: `${values[b]} at place ${b}`,
        remedy: 'Pass the number of valid steps of each sequence.',
      })
  const each = inner.reduce((a, b) => a * b, 1)
  return i => Math.floor(i / each) % steps < values[Math.floor(i / (each * steps))]
}
