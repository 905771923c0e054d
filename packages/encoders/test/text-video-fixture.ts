// Checkpoints of transformers with what it makes of texts and videos, written by test/oracle/text-video-encoders.py.
import { join } from 'node:path'
import { tf } from '@vq/core'
import { loadSafetensors, type StateDict, toTensor } from '@vq/core/io'
import { expect } from 'vitest'
import { type BaseEncoder, type BertEncoder, fromPretrained } from '../src/index.js'
import { relativeError } from './pretrained-fixture.js'

/** Every layer's output and the pooled one against what Python's library gave; the number of tensors compared. */
export async function compared(
  folder: string,
  name: string,
  options: Record<string, unknown>,
): Promise<number> {
  const { tensors }: { tensors: StateDict } = await loadSafetensors(
    join(folder, name, 'expected.safetensors'),
  )
  const encoder: BaseEncoder = await fromPretrained(join(folder, name), options)
  const given = (key: string): tf.Tensor | undefined => tensors[key] && toTensor(tensors[key])
  let count = 0
  tf.tidy(() => {
    const close = (actual: tf.Tensor, key: string): void => {
      expect(relativeError(actual, given(key)!), key).toBeLessThan(1e-4)
      count++
    }
    for (let i = 0; ; i++) {
      const x = given(`ids.${i}`) ?? given(`videos.${i}`)
      if (x === undefined) break
      const [mask, tokenTypes] = [given(`mask.${i}`), given(`types.${i}`)]
      const inputs = { ...(mask && { mask }), ...(tokenTypes && { tokenTypes }) }
      const layers = (encoder as BertEncoder).hiddenStates(x, inputs)
      expect(layers.length).toBe(Object.keys(tensors).filter(k => k.startsWith(`hidden.${i}.`)).length)
      for (const [layer, y] of layers.entries()) close(y, `hidden.${i}.${layer}`)
      const { embedding, sequence } = (encoder as BertEncoder).forward(x, inputs)
      close(sequence!, `sequence.${i}`)
      close(embedding, `embedding.${i}`)
    }
  })
  encoder.dispose()
  return count
}
