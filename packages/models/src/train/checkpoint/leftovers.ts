import { readdir } from 'node:fs/promises'
import { join } from 'node:path'

// What the atomic writers of @vq/core/io are at work on: `.<name>.<16 digits>.tmp`, and the old folder as `.<name>.old`.
const shape = /^\.(.+)\.(?:([0-9a-f]{16})\.tmp|old)$/

async function hidden(folder: string, names: RegExp): Promise<RegExpExecArray[]> {
  const all = await readdir(folder).catch(() => [] as string[])
  return all.flatMap(entry => {
    const match = shape.exec(entry)
    return match !== null && names.test(match[1]) ? [match] : []
  })
}

/** Paths of what writers of files and folders of these names had begun when they were killed. */
export async function leftBy(folder: string, names: RegExp): Promise<string[]> {
  return (await hidden(folder, names)).filter(m => m[2] !== undefined).map(m => join(folder, m[0]))
}

/** Names of folders that were moved aside to be replaced when their writer was killed. */
export async function oldOf(folder: string, names: RegExp): Promise<string[]> {
  return (await hidden(folder, names)).filter(m => m[2] === undefined).map(m => m[1])
}
