import { appendFile, mkdir, readFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { writeFileAtomic } from '@vq/core/io'
import type { Metrics } from './options.js'

/** metrics.jsonl: one JSON object per line. */
export class MetricsLog {
  private readonly path: string | undefined
  readonly lines: Metrics[] = []

  constructor(path: string | undefined) {
    this.path = path
  }

  async add(metrics: Metrics): Promise<void> {
    this.lines.push(metrics)
    if (this.path === undefined) return
    await mkdir(dirname(this.path), { recursive: true })
    await appendFile(this.path, `${JSON.stringify(metrics)}\n`)
  }

  /** Drops what was written after step `step`, and a last line that a crash cut off. */
  async cutBack(step: number): Promise<void> {
    if (this.path === undefined) return
    const text = await readFile(this.path, 'utf8').catch(() => undefined)
    if (text === undefined) return
    const kept = text.split('\n').filter(line => {
      const at = stepOf(line)
      return at !== undefined && at <= step
    })
    await writeFileAtomic(this.path, kept.map(line => `${line}\n`).join(''))
  }
}

function stepOf(line: string): number | undefined {
  try {
    return (JSON.parse(line) as Metrics).step
  } catch {
    return undefined
  }
}
