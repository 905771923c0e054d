import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { VqDeviceError } from '../errors.js'
import { nativeFailure, nativePath, tryNative } from '../native.js'

/** What the device library found, as the addon tells it. */
export interface CudaFound {
  /** The addon's number of the device. */
  device: number
  gpu: string
  computeCapability: string
  /** Bytes. */
  memory: number
  processors: number
  devices: number
  /** The names of all of them; calls run on the first that can be used. */
  gpus: string[]
  /** The CUDA version that the driver supports, and that of the library. */
  driver: string
  runtime: string
}

/** Why there is no device: the addon's code of it, the reason in words, and what to do. */
export interface CudaMissing {
  code: keyof typeof remedies
  reason: string
  remedy: string
}

const remedies = {
  'no-addon': 'Repair the native core first.',
  'not-built':
    'Install @vq/core-cuda-linux-x64 of the version of @vq/core; in a clone with nvcc 12.8 or newer run `npm run build`; or set VQ_CUDA_PATH to a libvq_cuda.so.',
  'cannot-open': 'Set VQ_CUDA_PATH to the libvq_cuda.so that came with this version, or unset it.',
  'other-version':
    'Use a libvq_cuda.so of the same release as the addon; in a clone run `npm run build` again.',
  'no-driver': 'Install the NVIDIA driver, or in a container pass the GPU through (`--gpus all`).',
  'old-driver': 'Update the NVIDIA driver.',
  'no-device': 'Check that `nvidia-smi` lists a GPU and that CUDA_VISIBLE_DEVICES does not hide it.',
  'old-device': 'A GPU of compute capability 7.5 or newer (Turing, 2018) is needed.',
  failed:
    'Check `nvidia-smi`; in a clone `npm run build` on this machine builds for its GPU; a restart mends a driver that hangs.',
} as const

const name = 'libvq_cuda.so'
const outcomes = new Map<string, CudaFound | CudaMissing>()

/** Opens the device library, once per place; never throws. */
export function cudaStatus(): CudaFound | CudaMissing {
  const core = tryNative()
  if (core === undefined) return missing('no-addon', nativeFailure()?.received ?? 'the addon did not load')
  const place = process.env.VQ_CUDA_PATH || builtPlace()
  if (place === undefined) return missing('not-built', 'this installation has no CUDA library')
  const known = outcomes.get(place)
  if (known !== undefined) return known
  const answer = core.cudaOpen(place)
  const outcome = 'device' in answer ? answer : missing(answer.code, answer.reason)
  outcomes.set(place, outcome)
  return outcome
}

/** The addon's number of the CUDA device, or a VqDeviceError with the reason. */
export function cudaDevice(operation: string): number {
  const status = cudaStatus()
  if ('device' in status) return status.device
  throw noCuda(operation, status)
}

export function noCuda(operation: string, { reason, remedy }: CudaMissing): VqDeviceError {
  return new VqDeviceError({ operation, expected: 'a working CUDA device', received: reason, remedy })
}

function missing(code: keyof typeof remedies, reason: string): CudaMissing {
  return { code, reason, remedy: remedies[code] }
}

// Beside the addon, else in the build of a clone, else the platform package.
function builtPlace(): string | undefined {
  const beside = join(dirname(nativePath() ?? ''), name)
  const built = fileURLToPath(new URL(`../../../../native/cuda/build/${name}`, import.meta.url))
  return [beside, built].find(place => existsSync(place)) ?? packagedPlace()
}

function packagedPlace(): string | undefined {
  try {
    return createRequire(import.meta.url).resolve(`@vq/core-cuda-${process.platform}-${process.arch}`)
  } catch {
    return undefined
  }
}
