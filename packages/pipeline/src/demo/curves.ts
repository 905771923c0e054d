import type { TrainingPoint } from '@vq/models/plot'
import type { Metrics } from '@vq/models/train'

/** A line of metrics.jsonl as a point of the training curves. */
export function curvePoint(metrics: Metrics): TrainingPoint {
  const value = (name: string): number | undefined => {
    const v = metrics[name]
    return typeof v === 'number' ? v : undefined
  }
  const { step, split } = metrics
  const loss = value('reconstructionLoss')
  if (split === 'train')
    return { step, reconstructionLoss: loss, vqLoss: value('vqLoss'), perplexity: value('perplexity') }
  return { step, validationLoss: loss, ...(loss !== undefined && { validationPsnr: -10 * Math.log10(loss) }) }
}
