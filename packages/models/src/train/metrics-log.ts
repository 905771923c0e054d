import { appendFile, mkdir, open, readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { writeFileAtomic } from '@vq/core/io'
import { EventFile } from './events/event-file.js'
import type { Metrics } from './options.js'
import { writing } from './writing.js'

/**
 * metrics.jsonl, one JSON object per line, and TensorBoard's event files, one run for training and one for validation so
 * that their curves lie over each other. JSON has no NaN: such a number is written as a string.
 */
export class MetricsLog {
  private readonly path: string | undefined
  private readonly events: Record<Metrics['split'], EventFile> | undefined
  readonly lines: Metrics[] = []

  /** Without `out` the lines are only kept. */
  constructor(out: string | undefined, tensorboard = false) {
    this.path = out === undefined ? undefined : join(out, 'metrics.jsonl')
    if (out === undefined || !tensorboard) return
    const file = (split: string): EventFile => new EventFile(join(out, 'events', split))
    this.events = { train: file('train'), validation: file('validation') }
  }

  async add(metrics: Metrics): Promise<void> {
    this.lines.push(metrics)
    const { path } = this
    if (path === undefined) return
    await writing(path, () => appendFile(path, `${JSON.stringify(metrics, spelled)}\n`))
    const { step, split, ...rest } = metrics
    const scalars = Object.entries(rest).filter(
      (entry): entry is [string, number] => typeof entry[1] === 'number',
    )
    await this.events?.[split].scalars(step, Object.fromEntries(scalars))
  }

  /** Takes up what was written until step `step`, and drops what came after and a last line that a crash cut off. */
  async cutBack(step: number): Promise<void> {
    const { path } = this
    if (path === undefined) return
    const text = await readFile(path, 'utf8').catch(() => '')
    const kept = text.split('\n').flatMap(line => {
      const metrics = parsed(line)
      return metrics !== undefined && metrics.step <= step ? [{ line, metrics }] : []
    })
    this.lines.splice(0, this.lines.length, ...kept.map(k => k.metrics))
    await writing(path, () => mkdir(dirname(path), { recursive: true }))
    const whole = kept.map(k => `${k.line}\n`).join('')
    // Written also where it is empty: a folder that cannot be written to is found out before training.
    if (whole !== text || text === '') await writeFileAtomic(path, whole)
    for (const file of Object.values(this.events ?? {}))
      await (step === 0 ? file.clear() : file.cutBack(step))
  }

  /** Returns when the lines are on the disk; called before a checkpoint that counts on them. */
  async sync(): Promise<void> {
    const { path } = this
    if (path === undefined) return
    await writing(path, async () => {
      const file = await open(path, 'a')
      try {
        await file.sync()
      } finally {
        await file.close()
      }
    })
  }
}

const names: Record<string, number> = {
  NaN: Number.NaN,
  Infinity: Number.POSITIVE_INFINITY,
  '-Infinity': Number.NEGATIVE_INFINITY,
}

function spelled(_key: string, value: unknown): unknown {
  return typeof value === 'number' && !Number.isFinite(value) ? String(value) : value
}

function parsed(line: string): Metrics | undefined {
  try {
    const value = JSON.parse(line, (_key, v) => (typeof v === 'string' && v in names ? names[v] : v))
    return Number.isInteger(value?.step) ? value : undefined
  } catch {
    return undefined
  }
}
