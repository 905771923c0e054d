import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { truncation } from './addon-file.js'
import type { CudaCore } from './cuda/native.js'
import { VqDeviceError } from './errors.js'
import type { QuantizeCore } from './quantize/native.js'

/** What the addon exports. Bindings are thin: everything is validated here in TypeScript before a call. */
export interface NativeCore extends QuantizeCore, CudaCore {
  readonly ops: Record<string, number>
  readonly args: Float64Array
  readonly maxThreads: number
  /** `type`: the native core's number of the element type, which every kernel then checks. */
  allocate(bytes: number, type?: number): number
  release(handle: number): void
  bury(handle: number): void
  write(handle: number, values: ArrayBufferView): void
  read(handle: number, into: ArrayBufferView): void
  run(op: number, argumentCount: number): void
  setThreads(threads: number): void
  trim(): void
  account(): void
  /** Names and versions of the libraries and the compiler that the addon is made of. */
  versions(): Record<string, string>
  memory(): { buffers: number; bytesInUse: number; bytesCached: number; bytesPeak: number }
}

const require = createRequire(import.meta.url)
let loaded: NativeCore | undefined
let loadedFrom: string | undefined
let failure: VqDeviceError | undefined

/** The addon, or a VqDeviceError that lists the places tried and what to do. */
export function native(): NativeCore {
  const core = tryNative()
  if (core === undefined) throw failure
  return core
}

/** The addon, or undefined where it cannot be loaded; `nativeFailure()` then says why. */
export function tryNative(): NativeCore | undefined {
  if (loaded !== undefined || failure !== undefined) return loaded
  const tried: string[] = []
  for (const place of places()) {
    try {
      loaded = load(place)
      loadedFrom = place
      return loaded
    } catch (error) {
      tried.push(`${place} (${(error as Error).message.split('\n')[0]})`)
    }
  }
  failure = new VqDeviceError({
    operation: 'loading the native core',
    expected: `an addon for ${process.platform}-${process.arch}`,
    received: tried.join('; '),
    remedy:
      'Reinstall @vq/core without --omit=optional; in a clone run `npm run build`; or set VQ_NATIVE_PATH to a built vq.node.',
  })
  return undefined
}

// OpenMP, which oneDNN runs on, reads its settings when it is loaded. Threads that wait by spinning would keep a core from
// those that have work; the setting is ours alone, child processes do not see it.
function load(place: string): NativeCore {
  const broken = truncation(require.resolve(place))
  if (broken !== undefined) throw new Error(broken)
  const { env } = process
  const ours = env.OMP_WAIT_POLICY === undefined
  if (ours) env.OMP_WAIT_POLICY = 'passive'
  try {
    return require(place) as NativeCore
  } finally {
    if (ours) delete env.OMP_WAIT_POLICY
  }
}

/** Where the addon was loaded from. */
export function nativePath(): string | undefined {
  tryNative()
  return loadedFrom
}

export function nativeFailure(): VqDeviceError | undefined {
  tryNative()
  return failure
}

// VQ_NATIVE_PATH alone when set, else the build of a clone, else the platform package.
function places(): string[] {
  const named = process.env.VQ_NATIVE_PATH
  if (named) return [named]
  const local = fileURLToPath(new URL('../../../native/build/Release/vq.node', import.meta.url))
  const platformPackage = `@vq/core-${process.platform}-${process.arch}`
  return existsSync(local) ? [local, platformPackage] : [platformPackage]
}
