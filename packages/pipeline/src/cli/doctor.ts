import { spawnSync } from 'node:child_process'
import { cpus, totalmem } from 'node:os'
import { device, tf } from '@vq/core'
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
  const [cpu, cuda] = (['vq-cpu', 'vq-cuda'] as const).map(name => device.list().find(d => d.name === name))
  const healthy = cpu !== undefined && cpu.reason === undefined
  const findings: [string, string][] = [
    ['Node', `${process.versions.node}, ${process.platform}-${process.arch}`],
    [
      'processor',
      `${cpus()[0]?.model.trim()}, ${cpus().length} threads, ${Math.round(totalmem() / 2 ** 30)} GiB`,
    ],
    ['native core', healthy ? `loaded, ${cpu.isa}, ${cpu.threads} threads` : `missing: ${cpu?.reason}`],
    ['backends', `${tf.engine().backendNames().join(', ')}; in use: ${tf.getBackend()}`],
    ['GPU', gpu(cuda?.reason)],
    ['ffmpeg', version('ffmpeg', ['-version'], /ffmpeg version (\S+)/) ?? 'not found; only video needs it'],
  ]
  const width = Math.max(...findings.map(([name]) => name.length))
  return { lines: findings.map(([name, value]) => `${name.padEnd(width)}  ${value}`), healthy }
}

function gpu(reason: string | undefined): string {
  const query = ['--query-gpu=name,driver_version', '--format=csv,noheader']
  const name = version('nvidia-smi', query, /^(.+)$/m) ?? 'no NVIDIA driver answers'
  return reason === undefined ? `${name}; vq-cuda works` : `${name}; not used: ${reason}`
}

function version(command: string, args: string[], pattern: RegExp): string | undefined {
  const { status, stdout } = spawnSync(command, args, { encoding: 'utf8', timeout: 10_000 })
  return status === 0 ? pattern.exec(stdout)?.[1] : undefined
}
