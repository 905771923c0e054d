import type { TrainingPoint } from '../plot/training-curves.js'
import type { Metrics } from './options.js'

/**
 * The lines of a run as the points that `trainingCurves` of `@vq/models/plot` draws. A model without a `reconstructionLoss`
 * is drawn by its `loss`; PSNR is that of values 0..1, where the model gives a reconstruction loss that is a mean squared error.
 *
 * @example
 * const history = await trainer.fit(model, loader, { validation })
 * const figure = await trainingCurves(trainingPoints(history.metrics))
 */
export function trainingPoints(metrics: readonly Metrics[]): TrainingPoint[] {
  return metrics.map(line => {
    const value = (name: string): number | undefined => {
      const v = line[name]
      return typeof v === 'number' ? v : undefined
    }
    const { step, split } = line
    const error = value('reconstructionLoss')
    const loss = error ?? value('loss')
    if (split === 'train')
      return { step, reconstructionLoss: loss, vqLoss: value('vqLoss'), perplexity: value('perplexity') }
    const psnr = error === undefined ? {} : { validationPsnr: -10 * Math.log10(error) }
    return { step, validationLoss: loss, ...psnr }
  })
}
