import { interruptible } from '@vq/models/train'
import { exitCode, explain } from './exit.js'

/** What a command has to talk with. */
export interface Console {
  /** A line for a person: on standard output, or on standard error where that is for machines. */
  say(line: string): void
  /** Something that was left out. */
  skipped(id: string, reason: string): void
  readonly skippedCount: number
  /** The first ones. */
  readonly skippedItems: readonly { id: string; reason: string }[]
  signal: AbortSignal
  json: boolean
}

export interface CommandResult {
  /** What `--json` prints. */
  json: Record<string, unknown>
  /** What a person reads at the end. */
  text: string
}

const mostNamed = 20

/**
 * Runs a command: prints its result, turns errors into a paragraph and an exit code, and a first Ctrl-C into an orderly end that
 * `howToResume` explains.
 */
export async function run(
  { json = false }: { json?: boolean },
  work: (console: Console) => Promise<CommandResult>,
  howToResume: () => string | Promise<string>,
): Promise<number> {
  const interruption = interruptible()
  const items: { id: string; reason: string }[] = []
  let count = 0
  const stream = json ? process.stderr : process.stdout
  const console: Console = {
    json,
    signal: interruption.signal,
    say: line => {
      stream.write(`${line}\n`)
    },
    skipped: (id, reason) => {
      count++
      if (items.length < 1000) items.push({ id, reason })
      if (count <= mostNamed) process.stderr.write(`skipped ${id}: ${reason}\n`)
      if (count === mostNamed + 1) process.stderr.write('skipped more, which are counted\n')
    },
    get skippedCount() {
      return count
    },
    skippedItems: items,
  }
  try {
    const result = await work(console)
    process.stdout.write(json ? `${JSON.stringify(result.json)}\n` : `${result.text}\n`)
    return 0
  } catch (error) {
    const code = interruption.code()
    if (code !== undefined && (error as Error).name === 'AbortError') {
      process.stderr.write(`${await howToResume()}\n`)
      return code
    }
    if (json)
      process.stdout.write(
        `${JSON.stringify({ error: { name: (error as Error).name, message: (error as Error).message } })}\n`,
      )
    process.stderr.write(`${explain(error)}\n`)
    return exitCode.failure
  } finally {
    interruption.stop()
  }
}

export const count = (n: number): string => Math.round(n).toLocaleString('en-US')

/** "1:05 minutes" */
export function minutes(seconds: number): string {
  if (seconds < 60) return `${seconds.toFixed(1)} s`
  return `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, '0')} minutes`
}

/** Lines of a name and what it is, in columns. */
export function table(rows: readonly (readonly [string, string])[], prefix = ''): string {
  const width = Math.max(...rows.map(([name]) => name.length))
  return rows.map(([name, value]) => `  ${prefix}${name.padEnd(width)}  ${value}`).join('\n')
}

/** Words of a command line, quoted where a shell needs it. */
export function shellWords(words: readonly string[]): string {
  return words
    .map(word => (/^[\w./:@%+=,-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`))
    .join(' ')
}
