import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { VqConfigError } from '@vq/core'
import { writeFileAtomic } from '@vq/core/io'
import { listCheckpoints } from '@vq/models/train'
import type { TrainFlags } from './flags.js'

// What may differ between a run and its resumption.
const free = new Set(['resume', 'overwrite', 'useClearml', 'projectName', 'taskName', 'cacheDir', 'dataPath', 'download', 'outputDir', 'experimentName']) // biome-ignore format: one line

/**
 * Makes a run's folder ready: refuses one that holds a run unless it is to go on or to be thrown away, and a resumption with other
 * flags; writes the flags to config.json. Throws VqConfigError.
 */
export async function claimFolder(out: string, flags: TrainFlags, frozen: boolean): Promise<void> {
  const { resume = false, overwrite = false } = flags
  if (resume && overwrite) throw wrong('one of --resume and --overwrite', 'both', 'Leave one of them out.')
  const begun = (await listCheckpoints(join(out, 'checkpoints'))).length > 0
  if (begun && !resume && !overwrite)
    throw wrong(
      `a new folder, since ${out} holds a run`,
      'neither --resume nor --overwrite',
      'Pass --resume to go on, --overwrite to start over, or another --experiment-name.',
    )
  const path = join(out, 'config.json')
  const now = relevant(flags)
  if (begun && resume) {
    const before = await readFile(path, 'utf8').then(
      text => JSON.parse(text) as Record<string, unknown>,
      () => undefined,
    )
    // Behind frozen features more epochs may follow; from scratch they decide what every epoch sees.
    const names = [...new Set([...Object.keys(before ?? now), ...Object.keys(now)])]
    const other = names.find(
      name => !(frozen && name === 'epochs') && JSON.stringify(before?.[name]) !== JSON.stringify(now[name]),
    )
    if (before === undefined || other !== undefined)
      throw wrong(
        `the flags of the run in ${out}${other === undefined ? '' : `: ${flagOf(other)} ${shown(before?.[other])}`}`,
        other === undefined ? 'no config.json there' : shown(now[other]),
        'Repeat the command with the same flags, or start over with --overwrite.',
      )
  }
  await writeFileAtomic(path, `${JSON.stringify(now, null, 2)}\n`)
}

function relevant(flags: TrainFlags): Record<string, unknown> {
  const kept = Object.entries(flags).filter(([name, value]) => !free.has(name) && value !== undefined)
  return Object.fromEntries(kept.sort(([a], [b]) => (a < b ? -1 : 1)))
}

const flagOf = (name: string): string => `--${name.replace(/[A-Z]/g, letter => `-${letter.toLowerCase()}`)}`
const shown = (value: unknown): string =>
  value === undefined ? 'left out' : typeof value === 'object' ? JSON.stringify(value) : String(value)

function wrong(expected: string, received: string, remedy: string): VqConfigError {
  return new VqConfigError({ operation: 'vq-segment', expected, received, remedy })
}
