import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { availableParallelism, cpus, totalmem } from 'node:os'
import { join } from 'node:path'
import * as tf from '@tensorflow/tfjs-core'
import { tensorflowFailure, tensorflowInstalled, tensorflowPackages } from './backend/tensorflow.js'
import { cudaStatus } from './cuda/library.js'
import { type DeviceInfo, device } from './device.js'
import { nativeFailure, nativePath, tryNative } from './native.js'

/** One thing that was looked at. */
export interface Finding {
  name: string
  /** `absent`: optional, and not there. `broken`: there or needed, and not working. */
  status: 'ok' | 'absent' | 'broken'
  /** What is there; where it is not, why. */
  value: string
  /** What to do about it; present unless `ok`. */
  remedy?: string
}

export interface Diagnosis {
  /** False where something is broken. */
  healthy: boolean
  findings: Finding[]
  /** The findings as lines for people. */
  text: string
}

/**
 * Looks at what VQ computes with: Node, processor, native core with its instruction sets, threads and library versions,
 * TensorFlow.js, each backend; for each that is unavailable, why and what to do. Changes nothing, loads no backend, and
 * asks `nvidia-smi` about the GPU. Never throws. `more` are findings of the caller's own, told at the end.
 */
export function doctor(more: readonly Finding[] = []): Diagnosis {
  const findings = [
    nodeVersion(),
    processor(),
    ...nativeCore(),
    tfjs(),
    ...device.list().map(info => backendFinding(info)),
    ...brokenTensorflow(),
    { name: 'in use', status: 'ok' as const, value: tf.getBackend() || 'no backend' },
    ...more,
  ]
  const healthy = findings.every(f => f.status !== 'broken')
  return { healthy, findings, text: textOf(findings) }
}

function nodeVersion(): Finding {
  const { node, modules, napi } = process.versions
  const value = `${node} on ${process.platform}-${process.arch}, Node-API ${napi}, ABI ${modules}`
  const [major, minor] = node.split('.').map(Number)
  if (major > 20 || (major === 20 && minor >= 19)) return { name: 'Node', status: 'ok', value }
  return { name: 'Node', status: 'broken', value, remedy: 'Install Node 20.19 or newer.' }
}

function processor(): Finding {
  const model = cpus()[0]?.model.trim() || 'a processor of unknown model'
  const memory = Math.round(totalmem() / 2 ** 30)
  return {
    name: 'processor',
    status: 'ok',
    value: `${model}, ${availableParallelism()} threads, ${memory} GiB`,
  }
}

function nativeCore(): Finding[] {
  const core = tryNative()
  if (core === undefined) {
    const { received, remedy } = nativeFailure() as { received: string; remedy: string }
    return [{ name: 'native core', status: 'broken', value: received, remedy }]
  }
  const { bytesInUse, bytesPeak } = core.memory()
  const mib = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`
  const versions = Object.entries(core.versions()).map(([name, version]) => `${name} ${version}`)
  return [
    { name: 'native core', status: 'ok', value: `${ownVersion()} from ${nativePath()}` },
    { name: 'instruction sets', status: 'ok', value: `${core.isaList().join(', ')}; in use: ${core.isa()}` },
    { name: 'threads', status: 'ok', value: `${device.threads} of ${core.maxThreads}` },
    { name: 'memory', status: 'ok', value: `${mib(bytesInUse)} in tensors, ${mib(bytesPeak)} at the peak` },
    { name: 'libraries', status: 'ok', value: versions.join(', ') },
  ]
}

function ownVersion(): string {
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'))
  return String(version)
}

// Two copies would be two registries: tensors of one have no backend in the other.
function tfjs(): Finding {
  const ours = createRequire(import.meta.url).resolve('@tensorflow/tfjs-core')
  const theirs = resolvedHere()
  const value = `tfjs-core ${tf.version_core}`
  if (theirs === undefined || theirs === ours) return { name: 'TensorFlow.js', status: 'ok', value }
  return {
    name: 'TensorFlow.js',
    status: 'broken',
    value: `two copies of tfjs-core: ${ours} and ${theirs}`,
    remedy: 'Make them one: ask for the same version everywhere, then `npm dedupe`.',
  }
}

// From the working directory, which may have been deleted.
function resolvedHere(): string | undefined {
  try {
    return createRequire(join(process.cwd(), 'index.js')).resolve('@tensorflow/tfjs-core')
  } catch {
    return undefined
  }
}

function backendFinding(info: DeviceInfo): Finding {
  const { name, isa, threads, reason } = info
  if (name === 'vq-cpu' && reason === undefined)
    return { name, status: 'ok', value: `${isa}, ${threads} threads` }
  if (name === 'vq-cpu')
    return { name, status: 'broken', value: String(reason), remedy: 'See the native core above.' }
  if (name === 'vq-cuda') return cudaFinding(info)
  const { package: from, version, libtensorflow } = info
  if (reason !== undefined) {
    const remedy =
      'Only if you want it: install @tensorflow/tfjs-node 4.22 (or -gpu) and let its install script run.'
    return { name, status: 'absent', value: reason, remedy }
  }
  const running = libtensorflow === undefined ? 'not loaded yet' : `TensorFlow ${libtensorflow}`
  return { name, status: 'ok', value: `${from} ${version}, ${running}` }
}

function cudaFinding({ reason, ...info }: DeviceInfo): Finding {
  const query = ['--query-gpu=name,driver_version,memory.total', '--format=csv,noheader']
  const { status, stdout } = spawnSync('nvidia-smi', query, { encoding: 'utf8', timeout: 10_000 })
  const gpu = status === 0 ? stdout.trim().split('\n').join('; ') : 'no NVIDIA driver answers'
  if (reason === undefined) {
    const { gpu: model, computeCapability, memory = 0, driver, runtime } = info
    const value = `${model}, compute capability ${computeCapability}, ${Math.round(memory / 2 ** 30)} GiB`
    return {
      name: 'vq-cuda',
      status: 'ok',
      value: `${value}, CUDA ${runtime} on a driver for ${driver}; ${gpu}`,
    }
  }
  const outcome = cudaStatus()
  const advice = 'remedy' in outcome ? outcome.remedy : ''
  const remedy = `Nothing to do to use vq-cpu. For the GPU: ${advice}`
  return { name: 'vq-cuda', status: 'absent', value: `${reason}; ${gpu}`, remedy }
}

// One that is installed, was tried and did not load, where the other one did.
function brokenTensorflow(): Finding[] {
  const installed = tensorflowInstalled().map(p => p.package)
  return tensorflowPackages.flatMap((name): Finding[] => {
    const failure = tensorflowFailure(name)
    if (failure === undefined || !installed.includes(name)) return []
    return [
      {
        name,
        status: 'absent',
        value: failure,
        remedy: `Repair it (\`npm rebuild ${name}\`), or remove it.`,
      },
    ]
  })
}

function textOf(findings: readonly Finding[]): string {
  const width = Math.max(...findings.map(f => f.name.length))
  const marks = { ok: ' ', absent: '-', broken: '!' }
  return findings
    .flatMap(({ name, status, value, remedy }) => [
      `${marks[status]} ${name.padEnd(width)}  ${value}`,
      ...(remedy === undefined ? [] : [`  ${' '.repeat(width)}  → ${remedy}`]),
    ])
    .join('\n')
}
