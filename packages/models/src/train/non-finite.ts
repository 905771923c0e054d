import { type RandomState, random, VqValueError } from '@vq/core'
import type { Module } from '@vq/core/nn'
import type { Values } from '../data/dataset.js'
import type { Batch } from '../data/loader.js'
import { StepNotFinite } from './optimizer-step.js'
import type { Trainable } from './options.js'
import { disposeInputs, inputsOf } from './tensors.js'
import {
  type BrokenModule,
  type BrokenSample,
  firstBroken,
  firstBrokenModule,
  firstBrokenSample,
} from './trace.js'

/** What is known about a step whose numbers were not finite. */
export interface NonFiniteReport {
  step: number
  /** From 0. */
  epoch: number
  /** The samples' numbers in the data set. */
  indices: readonly number[]
  learningRate: number
  /** What was found not to be finite; 'forward' where the model refused its own values. */
  what: 'loss' | 'gradients' | 'forward' | 'checkpoint'
  /** The first module whose output was not finite when the forward was run again. */
  module?: BrokenModule
  /** A sample of the batch that is not finite itself. */
  sample?: BrokenSample
  /** The first parameter or buffer that was not finite before the step. */
  parameter?: string
  /** Parameters whose gradients are not finite, in the model's order. */
  gradients?: string[]
}

/**
 * Training stopped because a loss, a gradient or a weight is NaN or infinite. The parameters are those before the step,
 * and checkpoints that were written are sound.
 */
export class NonFiniteError extends VqValueError {
  readonly report: Readonly<NonFiniteReport>

  constructor(report: NonFiniteReport, received: string, cause?: unknown) {
    const { step, epoch, indices, learningRate, what } = report
    const some = indices.slice(0, 8).join(', ') + (indices.length > 8 ? ', …' : '')
    const samples = some === '' ? '' : `, samples ${some}`
    super({
      operation: `Trainer.fit, step ${step}`,
      expected: what === 'forward' ? 'a forward with finite values' : expected[what],
      received: `${received}; ${reason(report)}; epoch ${epoch}${samples}, learning rate ${learningRate}`,
      remedy: remedy(report),
      ...(cause === undefined ? {} : { cause }),
    })
    this.report = report
  }
}

const expected = {
  loss: 'a finite loss',
  gradients: 'finite gradients',
  checkpoint: 'finite weights to write into a checkpoint',
}

function reason({ what, module, sample, parameter, gradients }: NonFiniteReport): string {
  if (what === 'checkpoint') return 'the update of this step or of one before it broke the weights'
  if (parameter !== undefined) return `the weights were broken before this step, '${parameter}' first`
  if (sample !== undefined)
    return `sample ${sample.sample} of the data is not finite itself (${sample.field})`
  if (module !== undefined) {
    const { name, type, inputFinite, threw } = module
    const who = name === '' ? `the model itself (${type})` : `the module '${name}' (${type})`
    const did = threw ? 'the first to refuse its input was' : 'the first output that was not finite came from'
    return `${did} ${who}${inputFinite ? '' : ', whose input was not finite: it begins just before it'}`
  }
  if (gradients !== undefined && gradients.length > 0)
    return `${gradients.length} gradients are broken, nearest to the loss that of '${gradients[gradients.length - 1]}'`
  return 'all was finite when the forward was run again'
}

function remedy({ sample, parameter, what }: NonFiniteReport): string {
  if (sample !== undefined) return `Repair or leave out sample ${sample.sample}.`
  if (parameter !== undefined || what === 'checkpoint')
    return 'Resume from the last checkpoint with a lower learning rate, a longer warm-up, or stronger clipping (clipNorm).'
  if (what === 'gradients')
    return 'Look for roots, logarithms and divisions at zero behind these parameters, or lower the learning rate.'
  return 'Lower the learning rate, lengthen the warm-up, clip the gradients, or look at what this module computes.'
}

/** Where the generators stood before a step, so that it can be run again. */
export interface Draws {
  global: RandomState
  modules: (readonly [Module, unknown])[]
}

/** Takes down where the generators of these modules, and the global one, stand. */
export function drawsOf(modules: readonly Module[]): Draws {
  return { global: random.state, modules: modules.map(m => [m, m.extraState()] as const) }
}

export function setDraws({ global, modules }: Draws): void {
  random.state = global
  for (const [module, state] of modules) if (state !== undefined) module.loadExtraState(state)
}

/**
 * Makes the report of a step that failed with `error`: the forward of each batch is run again from the same draws, with
 * the modules watched, and all state is put back. Returns `error` itself where it has nothing to do with such numbers.
 */
export function explain(
  error: unknown,
  model: Trainable,
  batches: readonly Batch<Values>[],
  at: { step: number; learningRate: number; draws: Draws },
): unknown {
  const failed = error instanceof StepNotFinite
  if (!failed && !(error instanceof VqValueError)) return error
  const { step, learningRate, draws } = at
  const parameter = firstBroken(model.namedParameters())
  const found = parameter === undefined ? search(model, batches, draws) : undefined
  if (!failed && parameter === undefined && found === undefined) return error
  const report: NonFiniteReport = {
    step,
    epoch: batches[0].epoch,
    indices: batches.flatMap(b => [...b.indices]),
    learningRate,
    what: failed ? error.what : 'forward',
    ...(parameter === undefined ? {} : { parameter }),
    ...found,
    ...(failed && error.gradients.length > 0 ? { gradients: error.gradients } : {}),
  }
  const received = failed ? `${error.value}` : (error as VqValueError).received
  return new NonFiniteError(report, received, failed ? undefined : error)
}

function search(
  model: Trainable,
  batches: readonly Batch<Values>[],
  draws: Draws,
): Pick<NonFiniteReport, 'module' | 'sample'> | undefined {
  const now = drawsOf(draws.modules.map(([module]) => module))
  const state = model.stateDict()
  setDraws(draws)
  try {
    for (const batch of batches) {
      const sample = firstBrokenSample(batch)
      const inputs = inputsOf(batch)
      const module = firstBrokenModule(model, () => model.forward(...inputs))
      disposeInputs(inputs)
      if (sample !== undefined || module !== undefined)
        return { ...(sample && { sample }), ...(module && { module }) }
    }
    return undefined
  } finally {
    setDraws(now)
    model.loadStateDict(state)
  }
}
