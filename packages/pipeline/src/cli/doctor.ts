import { spawnSync } from 'node:child_process'
import { cpus, totalmem } from 'node:os'
import { nativeFailure, tf, tryNative } from '@vq/core'
import { Command } from 'commander'
import { exitCode } from './exit.js'

export function doctorCommand(setExitCode: (code: number) => void): Command {
  return new Command('doctor').description('say what VQ finds on this machine').action(() => {
    const { lines, healthy } = examine()
    process.stdout.write(`${lines.join('\n')}\n`)
    setExitCode(healthy ? 0 : exitCode.failure)
  })
}

/** Findings, one a line; healthy unless something that VQ cannot do without is missing. */
export function examine(): { lines: string[]; healthy: boolean } {
  const core = tryNative()
  const failure = nativeFailure()
  const findings: [string, string][] = [
    ['Node', `${process.versions.node}, ${process.platform}-${process.arch}`],
    [
      'processor',
      `${cpus()[0]?.model.trim()}, ${cpus().length} threads, ${Math.round(totalmem() / 2 ** 30)} GiB`,
    ],
    [
      'native core',
      core === undefined ? `missing: ${failure?.message}` : `loaded, up to ${core.maxThreads} threads`,
    ],
    ['instruction set', instructionSet(core)],
    ['backends', `${tf.engine().backendNames().join(', ')}; in use: ${tf.getBackend()}`],
    ['GPU', gpu()],
    ['ffmpeg', version('ffmpeg', ['-version'], /ffmpeg version (\S+)/) ?? 'not found; only video needs it'],
  ]
  const width = Math.max(...findings.map(([name]) => name.length))
  return {
    lines: findings.map(([name, value]) => `${name.padEnd(width)}  ${value}`),
    healthy: core !== undefined,
  }
}

function instructionSet(core: object | undefined): string {
  if (core === undefined) return 'unknown without the native core'
  const { isa } = core as { isa?: () => string }
  return isa === undefined ? 'not told by this native core' : isa()
}

function gpu(): string {
  const name = version('nvidia-smi', ['--query-gpu=name,driver_version', '--format=csv,noheader'], /^(.+)$/m)
  const reason = 'this release has no vq-cuda backend yet, work runs on the processor'
  return name === undefined ? `no NVIDIA driver answers; ${reason}` : `${name}; ${reason}`
}

function version(command: string, args: string[], pattern: RegExp): string | undefined {
  const { status, stdout } = spawnSync(command, args, { encoding: 'utf8', timeout: 10_000 })
  return status === 0 ? pattern.exec(stdout)?.[1] : undefined
}
