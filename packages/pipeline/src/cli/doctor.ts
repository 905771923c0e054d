import { spawnSync } from 'node:child_process'
import { doctor, type Finding } from '@vq/core'
import { Command } from 'commander'
import { exitCode } from './exit.js'

export function doctorCommand(setExitCode: (code: number) => void): Command {
  return new Command('doctor').description('say what VQ finds on this machine').action(() => {
    const { text, healthy } = doctor([ffmpeg()])
    process.stdout.write(`${text}\n`)
    setExitCode(healthy ? 0 : exitCode.failure)
  })
}

function ffmpeg(): Finding {
  const { status, stdout } = spawnSync('ffmpeg', ['-version'], { encoding: 'utf8', timeout: 10_000 })
  const version = status === 0 ? /ffmpeg version (\S+)/.exec(stdout)?.[1] : undefined
  if (version !== undefined) return { name: 'ffmpeg', status: 'ok', value: version }
  const remedy = 'Only video needs it: install ffmpeg.'
  return { name: 'ffmpeg', status: 'absent', value: 'not found', remedy }
}
