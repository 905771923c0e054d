import { createRequire } from 'node:module'
import { Command, CommanderError } from 'commander'
import { demoCommand } from './demo.js'
import { doctorCommand } from './doctor.js'
import { exitCode, explain } from './exit.js'

const { version } = createRequire(import.meta.url)('../../package.json') as { version: string }

/** The `vq` command: `argv` as process.argv; gives the exit code. */
export async function main(argv: readonly string[]): Promise<number> {
  let code = 0
  const setExitCode = (value: number): void => {
    code = value
  }
  const program = new Command('vq')
    .description('From images to discrete codes.')
    .version(version)
    .showHelpAfterError('See vq --help, vq demo --help.')
    .addCommand(demoCommand(setExitCode))
    .addCommand(doctorCommand(setExitCode))
  // Errors come here instead of ending the process.
  for (const command of [program, ...program.commands]) command.exitOverride()
  try {
    await program.parseAsync([...argv])
    return code
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : exitCode.usage
    process.stderr.write(`${explain(error)}\n`)
    return exitCode.failure
  }
}
