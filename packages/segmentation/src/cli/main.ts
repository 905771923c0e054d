import { createRequire } from 'node:module'
import { interruptible } from '@vq/models/train'
import { Command, CommanderError } from 'commander'
import { compareCommand } from './compare.js'
import { exitCode, explain } from './exit.js'
import { baselineCommand, squeezeCommand } from './train.js'
import { visualizeCommand } from './visualize.js'

const { version } = createRequire(import.meta.url)('../../package.json') as { version: string }

/** The `vq-segment` command: `argv` as process.argv; gives the exit code. */
export async function main(argv: readonly string[]): Promise<number> {
  const interruption = interruptible()
  const { signal } = interruption
  const program = new Command('vq-segment')
    .description('Segmentation networks whose features pass through a quantizer.')
    .version(version)
    .showHelpAfterError('See vq-segment --help, vq-segment squeeze --help.')
    .addCommand(squeezeCommand(signal))
    .addCommand(baselineCommand(signal))
    .addCommand(visualizeCommand(signal))
    .addCommand(compareCommand(signal))
  for (const command of [program, ...program.commands]) command.exitOverride()
  try {
    await program.parseAsync([...argv])
    return 0
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : exitCode.usage
    process.stderr.write(`${explain(error)}\n`)
    if ((error as Error).name === 'AbortError')
      process.stderr.write(
        'Stopped. Training that began is saved: to go on, repeat the command with --resume.\n',
      )
    return interruption.code() ?? exitCode.failure
  } finally {
    interruption.stop()
  }
}
