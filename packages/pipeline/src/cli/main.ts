import { createRequire } from 'node:module'
import { Command, CommanderError } from 'commander'
import { analyzeCommand } from './analyze.js'
import { benchCommand } from './bench.js'
import { compareCommand } from './compare.js'
import { decodeCommand } from './decode.js'
import { demoCommand } from './demo.js'
import { doctorCommand } from './doctor.js'
import { encodeCommand } from './encode.js'
import { exitCode, explain } from './exit.js'
import { templatesCommand } from './templates.js'
import { trainCommand } from './train.js'

const { version } = createRequire(import.meta.url)('../../package.json') as { version: string }

/** The `vq` command: `argv` as process.argv; gives the exit code. */
export async function main(argv: readonly string[]): Promise<number> {
  let code = 0
  const setExitCode = (value: number): void => {
    code = value
  }
  const program = new Command('vq')
    .description('From images, texts, videos and vectors to semantic IDs.')
    .version(version)
    .showHelpAfterError('See vq --help, vq train --help.')
    .addCommand(demoCommand(setExitCode))
    .addCommand(trainCommand(setExitCode))
    .addCommand(encodeCommand(setExitCode))
    .addCommand(decodeCommand(setExitCode))
    .addCommand(analyzeCommand(setExitCode))
    .addCommand(compareCommand(setExitCode))
    .addCommand(templatesCommand(setExitCode))
    .addCommand(doctorCommand(setExitCode))
    .addCommand(benchCommand(setExitCode))
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
