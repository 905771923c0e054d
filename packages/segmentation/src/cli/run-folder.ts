import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { VqConfigError } from '@vq/core'
import { writeFileAtomic } from '@vq/core/io'
import { listCheckpoints } from '@vq/models/train'
import type { TrainFlags } from './flags.js'

// What may differ between a run and its resumption.
const free = new Set(['resume', 'overwrite', 'useClearml', 'projectName', 'taskName', 'cacheDir', 'dataPath', 'download', 'outputDir', 'experimentName']) // biome-ignore format: one line

// What a run leaves, besides the flags.
const written = ['checkpoints', 'best', 'events', 'metrics.jsonl', 'results.json', 'best.safetensors', 'last.safetensors', 'training_curves.png'] // biome-ignore format: one line

/** The folder of an experiment. Throws VqConfigError for a name that leads elsewhere. */
export function runFolder({ outputDir, experimentName }: TrainFlags): string {
  if (experimentName.split(/[\\/]/).some(part => part === '..' || part === '.' || part === ''))
    throw new VqConfigError({
      operation: '--experiment-name',
      expected: 'the name of a folder in --output-dir',
      received: `'${experimentName}'`,
      remedy: 'Leave out . and .. and empty parts.',
    })
  return join(outputDir, experimentName)
}

/** Refuses a folder that holds a run unless it is to go on or to be thrown away, and a resumption with other flags. Throws VqConfigError. */
export async function expectFolder(out: string, flags: TrainFlags, frozen: boolean): Promise<void> {
  const { resume = false, overwrite = false } = flags
  if (resume && overwrite) throw wrong('one of --resume and --overwrite', 'both', 'Leave one of them out.')
  if (overwrite || (await listCheckpoints(join(out, 'checkpoints'))).length === 0) return
  if (!resume)
    throw wrong(
      `a new folder, since ${out} holds a run`,
      'neither --resume nor --overwrite',
      'Pass --resume to go on, --overwrite to start over, or another --experiment-name.',
    )
  const now = relevant(flags)
  const before = await readFile(join(out, 'config.json'), 'utf8').then(
    text => JSON.parse(text) as Record<string, unknown>,
    () => undefined,
  )
  // Behind frozen features more epochs may follow; from scratch they decide what every epoch sees.
  const names = [...new Set([...Object.keys(before ?? now), ...Object.keys(now)])]
  const other = names.find(
    name => !(frozen && name === 'epochs') && JSON.stringify(before?.[name]) !== JSON.stringify(now[name]),
  )
  if (before !== undefined && other === 'features')
    throw wrong(
      `the weights that the run in ${out} began with`,
      `others in ${flags.weights}`,
      'Bring the file back as it was, or start over with --overwrite.',
    )
  if (before === undefined || other !== undefined)
    throw wrong(
      `the flags of the run in ${out}${other === undefined ? '' : `: ${flagOf(other)} ${shown(before?.[other])}`}`,
      other === undefined ? 'no config.json there' : shown(now[other]),
      'Repeat the command with the same flags, or start over with --overwrite.',
    )
}

/** Throws away what an earlier run left where that is wanted, and writes the flags to config.json. */
export async function claimFolder(out: string, flags: TrainFlags): Promise<void> {
  // With other flags beside them the old checkpoints would be gone on from.
  if (flags.overwrite) for (const name of written) await rm(join(out, name), { recursive: true, force: true })
  await writeFileAtomic(join(out, 'config.json'), `${JSON.stringify(relevant(flags), null, 2)}\n`)
}

function relevant(flags: TrainFlags): Record<string, unknown> {
  const kept = Object.entries(flags).filter(([name, value]) => !free.has(name) && value !== undefined)
  return Object.fromEntries(kept.sort(([a], [b]) => (a < b ? -1 : 1)))
}

export const flagOf = (name: string): string =>
  `--${name.replace(/[A-Z]/g, letter => `-${letter.toLowerCase()}`)}`
const shown = (value: unknown): string =>
  value === undefined ? 'left out' : typeof value === 'object' ? JSON.stringify(value) : String(value)

function wrong(expected: string, received: string, remedy: string): VqConfigError {
  return new VqConfigError({ operation: 'vq-segment', expected, received, remedy })
}
