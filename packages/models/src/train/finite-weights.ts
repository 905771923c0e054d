import type { StateDict } from '@vq/core/io'
import type { Module } from '@vq/core/nn'
import { NonFiniteError, type NonFiniteReport } from './non-finite.js'
import { broken, firstBroken } from './trace.js'

type At = Pick<NonFiniteReport, 'step' | 'epoch' | 'learningRate'>

/** A check of weights before they become a checkpoint: throws NonFiniteError naming the first that is broken. */
export function expectFinite(at: At): (weights: StateDict) => void {
  return weights => {
    const bad = Object.entries(weights).find(([, { data }]) => data instanceof Float32Array && broken(data))
    if (bad !== undefined) throw brokenBy(at, bad[0])
  }
}

/** The same for parameters in memory. */
export function expectFiniteParameters(model: Module, at: At): void {
  const parameter = firstBroken(model.namedParameters())
  if (parameter !== undefined) throw brokenBy(at, parameter)
}

function brokenBy({ step, epoch, learningRate }: At, parameter: string): NonFiniteError {
  const report = { step, epoch, learningRate, indices: [], what: 'checkpoint', parameter } as const
  return new NonFiniteError(report, `NaN or infinity in '${parameter}'`)
}
