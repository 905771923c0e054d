import { vi } from 'vitest'

/** Runs a command in this process; what it printed and its exit code. */
export async function runCommand(
  main: (argv: string[]) => Promise<number>,
  words: readonly string[],
): Promise<{ code: number; out: string; err: string }> {
  const written = { out: '', err: '' }
  for (const [stream, name] of [
    [process.stdout, 'out'],
    [process.stderr, 'err'],
  ] as const)
    vi.spyOn(stream, 'write').mockImplementation(text => {
      written[name] += text
      return true
    })
  const code = await main(['node', ...words])
  vi.restoreAllMocks()
  return { code, ...written }
}
