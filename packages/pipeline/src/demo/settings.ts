import { readFile } from 'node:fs/promises'
import { join, relative, resolve, sep } from 'node:path'
import { VqConfigError, VqFormatError } from '@vq/core'
import { writeFileAtomic } from '@vq/core/io'

/** Everything that decides what a run of the demo does; kept in run.json so that a resumed run does the same. */
export interface DemoSettings {
  /** Absolute path of a folder of images; null for the coloured digits. */
  data: string | null
  /** Edge of the images in pixels. */
  size: number
  /** K, the size of the codebook. */
  codes: number
  steps: number
  batch: number
  seed: number
  /** Coloured digits to train on and to hold out. */
  trainImages: number
  heldOutImages: number
}

export type DemoOptions = Partial<DemoSettings> & {
  out: string
  resume?: boolean
  quick?: boolean
}

const standard = {
  size: 32,
  codes: 256,
  steps: 3000,
  batch: 32,
  seed: 0,
  trainImages: 10_000,
  heldOutImages: 1000,
}
const short = { ...standard, steps: 250, trainImages: 2000, heldOutImages: 200 }

const runFile = (out: string): string => join(out, 'run.json')

/** The settings of this run: of the run to go on from, or from the options and defaults. */
export async function settle(options: DemoOptions): Promise<DemoSettings> {
  const { out, resume = false, quick = false, data, ...rest } = options
  const given = defined({
    ...rest,
    ...(data !== undefined && { data: data === null ? null : resolve(data) }),
  })
  const path = runFile(out)
  if (resume) {
    const kept = await readSettings(path)
    for (const [name, value] of Object.entries(given))
      if (kept[name as keyof DemoSettings] !== value)
        throw new VqConfigError({
          operation: 'vq demo --resume',
          expected: `${name} ${kept[name as keyof DemoSettings]}, as the run in ${out} began`,
          received: `${name} ${value}`,
          remedy: 'Leave the option out, or start over without --resume.',
        })
    return kept
  }
  const settings: DemoSettings = { data: null, ...(quick ? short : standard), ...given }
  check(settings)
  if (settings.data !== null) expectOutside(settings.data, out)
  return settings
}

// Figures written among the images would be data of the next run.
function expectOutside(data: string, out: string): void {
  const way = relative(data, resolve(out))
  if (way === '..' || way.startsWith(`..${sep}`)) return
  throw new VqConfigError({
    operation: 'vq demo',
    expected: `--out to lie outside of the images in ${data}`,
    received: resolve(out),
    remedy: 'Pass another folder as --out.',
  })
}

/** Keeps the settings in `out/run.json`, once it is sure that the run can begin: an older run there ends with that. */
export async function keepSettings(out: string, settings: DemoSettings): Promise<void> {
  await writeFileAtomic(runFile(out), `${JSON.stringify(settings, null, 2)}\n`)
}

async function readSettings(path: string): Promise<DemoSettings> {
  const text = await readFile(path, 'utf8').catch(() => undefined)
  if (text === undefined)
    throw new VqConfigError({
      operation: 'vq demo --resume',
      expected: `${path}, which a run writes when it begins`,
      received: 'nothing there',
      remedy: 'Start without --resume, or pass the --out of the run to go on from.',
    })
  try {
    const settings = JSON.parse(text) as DemoSettings
    check(settings)
    return settings
  } catch (error) {
    throw new VqFormatError({
      operation: 'vq demo --resume',
      expected: `the settings of a run in ${path}`,
      received: (error as Error).message,
      remedy: 'Start over without --resume.',
      cause: error,
    })
  }
}

function check(settings: DemoSettings): void {
  const range = (name: keyof DemoSettings, least: number, most: number): void => {
    const value = settings[name]
    if (!Number.isInteger(value) || (value as number) < least || (value as number) > most)
      throw new VqConfigError({
        operation: 'vq demo',
        expected: `${name} to be a whole number from ${least} to ${most}`,
        received: String(value),
        remedy: 'Pass one in that range.',
      })
  }
  range('size', 8, 512)
  if (settings.size % 4 !== 0)
    throw new VqConfigError({
      operation: 'vq demo',
      expected: 'a size divisible by 4, as one code stands for 4×4 pixels',
      received: String(settings.size),
      remedy: `Pass --size ${Math.ceil(settings.size / 4) * 4}.`,
    })
  range('codes', 2, 65_536)
  range('steps', 1, 10_000_000)
  range('batch', 1, 4096)
  range('seed', 0, Number.MAX_SAFE_INTEGER)
  range('trainImages', 1, 1_000_000)
  range('heldOutImages', 1, 1_000_000)
  const rows = settings.batch * (settings.size / 4) ** 2
  if (rows < settings.codes)
    throw new VqConfigError({
      operation: 'vq demo',
      expected: `at most ${rows} codes for batches of ${settings.batch} images of ${settings.size} pixels`,
      received: String(settings.codes),
      remedy: 'Use larger batches or fewer codes.',
    })
}

function defined<T extends object>(options: T): Partial<T> {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as Partial<T>
}
