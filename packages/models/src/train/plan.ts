import { closest, expectConfig, expectInteger, expectNumber, expectOneOf, VqConfigError } from '@vq/core'
import { expectOptions, Module } from '@vq/core/nn'
import { Adam, constantSchedule, cosineSchedule, type Optimizer, type Schedule } from '@vq/core/optim'
import type { Values } from '../data/dataset.js'
import { DataLoader } from '../data/loader.js'
import { Monitor } from './monitor.js'
import type { FitOptions, Trainable, TrainerOptions } from './options.js'

export interface Plan {
  totalSteps: number
  /** Steps of an epoch; a fraction where epochs are parts of a pass over the data. */
  stepsPerEpoch: number
  schedule: Schedule
  optimizer: Optimizer
  /** Decides what is best. */
  monitor: Monitor
  /** Ends training after so many evaluations without improvement. */
  stopping: { monitor: Monitor; patience: number } | undefined
}

/** Works out what depends on model and data; `batches`: per epoch. */
export function plan(options: TrainerOptions, model: Trainable, batches: number): Plan {
  const { epochs, steps, learningRate = 1e-3, schedule = 'constant', warmupSteps = 0 } = options
  const { accumulate = 1, epochsPerPass = 1, earlyStopping } = options
  expectConfig(
    (epochs === undefined) !== (steps === undefined),
    'Trainer',
    'either epochs or steps',
    epochs === undefined ? undefined : 'both',
    'Pass one of the two.',
  )
  const pass = Math.ceil(batches / accumulate)
  const totalSteps = steps ?? Math.ceil((epochs! * pass) / epochsPerPass)
  const optimizer =
    options.optimizer === undefined
      ? new Adam(model, { learningRate })
      : options.optimizer(model, learningRate)
  const rate = { learningRate, totalSteps, warmupSteps: Math.min(warmupSteps, totalSteps) }
  const rates =
    typeof schedule === 'function'
      ? schedule
      : schedule === 'cosine'
        ? cosineSchedule(rate)
        : constantSchedule(learningRate, warmupSteps)
  const monitor = new Monitor(options.monitor ?? {})
  const stopping = earlyStopping && {
    monitor: new Monitor({ ...options.monitor, ...earlyStopping }, earlyStopping.minDelta),
    patience: earlyStopping.patience,
  }
  return { totalSteps, stepsPerEpoch: pass / epochsPerPass, optimizer, schedule: rates, monitor, stopping }
}

/** Checks what needs no model. */
export function checkOptions(options: TrainerOptions): void {
  const operation = 'Trainer'
  expectOptions(operation, options, '{ epochs: 10 } or { steps: 1000 } at least')
  expectKnown(options)
  const wholes = [
    'epochs',
    'steps',
    'epochsPerPass',
    'accumulate',
    'validateEvery',
    'checkpointEvery',
    'keep',
    'logEvery',
  ] as const
  for (const name of wholes) if (options[name] !== undefined) expectInteger(operation, name, options[name], 1)
  const { learningRate = 1e-3, schedule = 'constant', warmupSteps = 0, clipNorm = 1, seed = 0 } = options
  expectNumber(operation, 'learningRate', learningRate, 0, Number.MAX_VALUE)
  expectInteger(operation, 'warmupSteps', warmupSteps, 0)
  expectInteger(operation, 'seed', seed, 0)
  if (typeof schedule !== 'function')
    expectOneOf(operation, 'schedule (or a function of the step)', schedule, ['constant', 'cosine'])
  if (clipNorm !== null) expectNumber(operation, 'clipNorm', clipNorm, Number.MIN_VALUE, Number.MAX_VALUE)
  if (options.averageDecay !== undefined)
    expectNumber(operation, 'averageDecay', options.averageDecay, 0, 1 - 1e-9)
  checkKinds(options)
  checkMonitors(options)
  checkFinal(options)
  const { resume = false, overwrite = false, out } = options
  expectConfig(!resume || out !== undefined, operation, 'a folder `out` to resume from', out, 'Pass `out`.')
  expectConfig(!(resume && overwrite), operation, 'resume or overwrite', 'both', 'Pass one of the two.')
}

const known: Readonly<Record<keyof TrainerOptions, true>> = {
  ...{
    epochs: true,
    steps: true,
    epochsPerPass: true,
    learningRate: true,
    schedule: true,
    warmupSteps: true,
    clipNorm: true,
  },
  ...{ optimizer: true, accumulate: true, averageDecay: true, validateEvery: true, monitor: true },
  ...{
    earlyStopping: true,
    finalWeights: true,
    out: true,
    tensorboard: true,
    checkpointEvery: true,
    keep: true,
  },
  ...{ resume: true, overwrite: true, progress: true, logEvery: true, seed: true, signal: true },
  ...{ handleSignals: true, onStep: true, onEpoch: true, onValidation: true, onWarning: true },
}

// A misspelt option would be a default that nobody wanted.
function expectKnown(options: TrainerOptions): void {
  const names = Object.keys(known)
  const wrong = Object.keys(options).find(name => !Object.hasOwn(known, name))
  if (wrong === undefined) return
  throw new VqConfigError({
    operation: 'Trainer',
    expected: `options among ${names.join(', ')}`,
    received: `'${wrong}'`,
    remedy: `Did you mean '${closest(wrong, names)}'?`,
  })
}

function checkKinds(options: TrainerOptions): void {
  const expectKind = (name: keyof TrainerOptions, kinds: string[]): void =>
    expectConfig(
      options[name] === undefined || kinds.includes(typeof options[name]),
      'Trainer',
      `${name} to be a ${kinds.join(' or a ')}`,
      options[name],
      'Pass one, or leave it out.',
    )
  for (const name of ['optimizer', 'onStep', 'onEpoch', 'onValidation', 'onWarning'] as const)
    expectKind(name, ['function'])
  for (const name of ['resume', 'overwrite', 'tensorboard', 'handleSignals'] as const)
    expectKind(name, ['boolean'])
  expectKind('progress', ['boolean', 'function'])
  expectKind('out', ['string'])
  const { signal, out } = options
  expectConfig(out !== '', 'Trainer', '`out` to be the path of a folder', out, 'Name a folder.')
  expectConfig(
    signal === undefined || signal instanceof AbortSignal,
    'Trainer',
    'signal to be an AbortSignal',
    signal,
    'Pass the signal of an AbortController.',
  )
}

function checkMonitors({ monitor = {}, earlyStopping }: TrainerOptions): void {
  for (const { mode = 'min', metric = 'loss' } of [monitor, earlyStopping ?? {}]) {
    expectOneOf('Trainer', 'mode', mode, ['min', 'max'])
    expectConfig(
      typeof metric === 'string',
      'Trainer',
      'metric to be a name',
      metric,
      'Name a scalar of the forward.',
    )
  }
  if (earlyStopping === undefined) return
  expectInteger('Trainer', 'earlyStopping.patience', earlyStopping.patience, 1)
  expectNumber('Trainer', 'earlyStopping.minDelta', earlyStopping.minDelta ?? 0, 0, Number.MAX_VALUE)
}

function checkFinal({ finalWeights = 'last', averageDecay, out }: TrainerOptions): void {
  expectOneOf('Trainer', 'finalWeights', finalWeights, ['last', 'average', 'best'])
  const needed = { last: true, average: averageDecay !== undefined, best: out !== undefined }
  const what = finalWeights === 'average' ? 'averageDecay' : 'a folder `out`'
  expectConfig(
    needed[finalWeights],
    'Trainer',
    `${what} with finalWeights '${finalWeights}'`,
    undefined,
    'Pass it.',
  )
}

/** Throws VqConfigError unless these are a model and its data. */
export function checkModelAndData(model: Trainable, loader: DataLoader<Values>, validation: unknown): void {
  const operation = 'Trainer.fit'
  expectConfig(
    model instanceof Module && typeof model.forward === 'function',
    operation,
    'a model: a Module with a forward',
    model,
    'Pass one of @vq/models, or your own that extends Module.',
  )
  for (const [name, data] of [
    ['data', loader],
    ['validation', validation],
  ] as const)
    expectConfig(
      data instanceof DataLoader || (name === 'validation' && data === undefined),
      operation,
      `${name} to be a DataLoader`,
      data,
      'Pass new DataLoader(dataset, { batchSize: 64 }).',
    )
}

/** Throws VqConfigError where an option needs validation data and there is none, or they are the training data's loader. */
export function checkValidation(
  options: TrainerOptions,
  { validation }: FitOptions,
  loader: DataLoader<Values>,
): void {
  expectConfig(
    validation !== loader,
    'Trainer.fit',
    'a loader of its own for the validation data',
    'that of the training data',
    'Make another DataLoader: evaluation starts it over each time.',
  )
  if (validation !== undefined) return
  const { earlyStopping, validateEvery, monitor, onValidation, finalWeights } = options
  const asked = { earlyStopping, validateEvery, monitor, onValidation }
  const [name] = Object.entries(asked).find(([, value]) => value !== undefined) ?? []
  const needs = name ?? (finalWeights === 'best' ? "finalWeights: 'best'" : undefined)
  if (needs !== undefined)
    throw new VqConfigError({
      operation: 'Trainer.fit',
      expected: `validation data, which ${needs} needs`,
      received: 'none',
      remedy: 'Call fit(model, data, { validation }).',
    })
}
