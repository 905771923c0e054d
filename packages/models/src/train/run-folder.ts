import { mkdir, rm } from 'node:fs/promises'
import { VqConfigError } from '@vq/core'
import { recoverFolder, type StateDict } from '@vq/core/io'
import {
  bestIn,
  checkpointsIn,
  listCheckpoints,
  type StateFile,
  type TrainingState,
} from './checkpoint/folder.js'
import { leftBy } from './checkpoint/leftovers.js'
import { loadNewest } from './checkpoint/load.js'
import { repairCheckpoints, saveBest, saveCheckpoint } from './checkpoint/save.js'
import type { MetricsLog } from './metrics-log.js'
import type { TrainerOptions } from './options.js'
import { writing } from './writing.js'

/** What a run keeps on disk: metrics, checkpoints, and the best weights. Does nothing without `out`. */
export class RunFolder {
  /** The step of the newest checkpoint. */
  saved = 0
  private readonly options: Readonly<TrainerOptions>
  private readonly training: TrainingState
  private readonly log: MetricsLog

  constructor(options: Readonly<TrainerOptions>, training: TrainingState, log: MetricsLog) {
    this.options = options
    this.training = training
    this.log = log
  }

  /** Makes the folder ready and sets everything to where to go on from; undefined where that is the beginning. */
  async open(): Promise<StateFile | undefined> {
    const { out, resume = false, overwrite = false } = this.options
    if (out === undefined) return undefined
    const checkpoints = checkpointsIn(out)
    await writing(out, () => mkdir(out, { recursive: true }))
    await repairCheckpoints(checkpoints)
    await recoverFolder(bestIn(out))
    for (const path of await leftBy(out, /^(best|metrics\.jsonl)$/))
      await rm(path, { recursive: true, force: true })
    if (!resume && (await listCheckpoints(checkpoints)).length > 0) {
      if (!overwrite)
        throw new VqConfigError({
          operation: 'Trainer.fit',
          expected: 'a folder `out` without checkpoints',
          received: checkpoints,
          remedy: 'Pass resume: true to go on, overwrite: true to start over, or another folder.',
        })
      await rm(checkpoints, { recursive: true })
    }
    const state = resume ? await this.load() : undefined
    if (state === undefined) await rm(bestIn(out), { recursive: true, force: true })
    this.saved = state?.step ?? 0
    await this.log.cutBack(this.saved)
    return state
  }

  /** Sets everything to the newest sound checkpoint. */
  async load(): Promise<StateFile | undefined> {
    const { out, onWarning = warn } = this.options
    return out === undefined ? undefined : loadNewest(checkpointsIn(out), this.training, onWarning)
  }

  /** Writes checkpoint `step` unless it is there; `more` goes with it. */
  async save(step: number, more: unknown, check: (weights: StateDict) => void): Promise<void> {
    const { out, keep = 2 } = this.options
    if (out !== undefined && step !== this.saved) {
      // The lines a checkpoint counts on are on the disk before it.
      await this.log.sync()
      await saveCheckpoint(checkpointsIn(out), step, this.training, { keep, more, check })
    }
    this.saved = step
  }

  async saveBest(step: number, more: unknown, check: (weights: StateDict) => void): Promise<void> {
    const { out } = this.options
    if (out !== undefined) await saveBest(bestIn(out), step, this.training, { more, check })
  }
}

function warn(message: string): void {
  process.stderr.write(`${message}\n`)
}
