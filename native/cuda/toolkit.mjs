// Whether the CUDA library can be built on this machine, and for which architectures.
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/**
 * { nvcc, version, architectures } or { reason }. VQ_CUDA_ARCHITECTURES is CMake's list, for example "80-real;90a-real", or
 * "all" for what a release has; without it one: that of the GPU here, else 90a.
 */
export function cudaSettings(env = process.env) {
  const candidates = [
    env.CUDACXX,
    env.CUDA_HOME && `${env.CUDA_HOME}/bin/nvcc`,
    'nvcc',
    '/usr/local/cuda/bin/nvcc',
  ]
  for (const nvcc of candidates.filter(Boolean)) {
    const { status, stdout } = spawnSync(nvcc, ['--version'], { encoding: 'utf8' })
    if (status !== 0) continue
    const version = /release (\d+\.\d+)/.exec(stdout)?.[1] ?? '0.0'
    const [major, minor] = version.split('.').map(Number)
    if (major < 12 || (major === 12 && minor < 8))
      return { reason: `nvcc ${version} is too old, 12.8 or newer is needed` }
    return { nvcc, version, architectures: architectures(env) }
  }
  return { reason: 'no nvcc (looked at CUDACXX, CUDA_HOME, PATH and /usr/local/cuda)' }
}

function architectures({ VQ_CUDA_ARCHITECTURES: wanted }) {
  if (wanted) return wanted
  const query = ['--query-gpu=compute_cap', '--format=csv,noheader']
  const { status, stdout } = spawnSync('nvidia-smi', query, { encoding: 'utf8', timeout: 10_000 })
  const found = status === 0 ? /^(\d+)\.(\d)/.exec(stdout.trim()) : null
  if (found === null) return '90a-real'
  const number = `${found[1]}${found[2]}`
  return number === '90' ? '90a-real' : `${number}-real`
}

/** The agreement under which the toolkit of `nvcc` gives out its runtime, a text file; undefined where it has none. */
export function runtimeAgreement(nvcc) {
  const { stderr } = spawnSync(nvcc, ['--dryrun', '-x', 'cu', '/dev/null', '-o', '/dev/null'], {
    encoding: 'utf8',
  })
  const top = /^#\$ TOP=(.*?)\s*$/m.exec(stderr)?.[1]
  const inside = (folder, prefix, ...rest) =>
    existsSync(folder)
      ? readdirSync(folder)
          .filter(name => name.startsWith(prefix))
          .map(name => join(folder, name, ...rest))
      : []
  // NVIDIA's installer; packages of pip; Debian packages.
  const candidates = [
    ...(top === undefined
      ? []
      : [
          join(top, 'EULA.txt'),
          ...inside(join(top, 'dist-info'), 'nvidia_cuda_runtime', 'licenses', 'License.txt'),
        ]),
    ...inside('/usr/share/doc', 'cuda-cudart-', 'copyright'),
    '/usr/share/doc/nvidia-cuda-toolkit/copyright',
  ]
  return candidates.find(path => existsSync(path))
}

/** The notice of CUB, whose sort is compiled into the library: the first comment of its header; undefined where there is none. */
export function cubNotice(nvcc) {
  const header = 'cub/device/device_radix_sort.cuh'
  const { stdout } = spawnSync(nvcc, ['-M', '-x', 'cu', '/dev/null', '-include', header], {
    encoding: 'utf8',
  })
  const path = stdout?.split(/[\s\\]+/).find(word => word.endsWith(`/${header}`))
  if (path === undefined || !existsSync(path)) return undefined
  const notice = /^\s*\/\*+\s*([\s\S]*?)\s*\**\*\//
    .exec(readFileSync(path, 'utf8'))?.[1]
    .replace(/^ ?\* ?/gm, '')
  return notice?.includes('Copyright') ? `${notice}\n` : undefined
}
