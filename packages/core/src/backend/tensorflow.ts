import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import * as tf from '@tensorflow/tfjs-core'
import { VqDeviceError } from '../errors.js'

/** The packages that bring TensorFlow.js's `tensorflow` backend, in the order in which they are tried. */
export const tensorflowPackages = ['@tensorflow/tfjs-node-gpu', '@tensorflow/tfjs-node'] as const
export type TensorflowPackage = (typeof tensorflowPackages)[number]

/** What the `tensorflow` backend runs on. */
export interface TensorflowInfo {
  package: TensorflowPackage
  /** Of the package. */
  version: string
  /** Of libtensorflow; absent until the backend has started. */
  libtensorflow?: string
}

const require = createRequire(import.meta.url)
const failures = new Map<TensorflowPackage, string>()

/** The packages that are installed where `@vq/core` finds them, without loading them. */
export function tensorflowInstalled(): TensorflowInfo[] {
  return tensorflowPackages.flatMap(name => {
    try {
      const { version } = JSON.parse(readFileSync(require.resolve(`${name}/package.json`), 'utf8'))
      return [{ package: name, version: String(version) }]
    } catch {
      return []
    }
  })
}

/** Why the package could not be loaded when it was last tried. */
export function tensorflowFailure(name: TensorflowPackage): string | undefined {
  return failures.get(name)
}

/** What the registered `tensorflow` backend runs on; undefined where none has started. */
export function tensorflowInUse(): TensorflowInfo | undefined {
  if (tf.findBackendFactory('tensorflow') == null) return undefined
  const started = tf.engine().registry.tensorflow as unknown as
    | { isGPUPackage?: boolean; binding?: { TF_Version?: string } }
    | undefined
  if (started === undefined) return undefined
  const name = tensorflowPackages[started.isGPUPackage === true ? 0 : 1]
  const version = tensorflowInstalled().find(p => p.package === name)?.version ?? 'of unknown version'
  const libtensorflow = started.binding?.TF_Version
  return { package: name, version, ...(libtensorflow === undefined ? {} : { libtensorflow }) }
}

/**
 * Loads tfjs-node-gpu, or else tfjs-node, unless the backend is there already, and leaves the active backend as it was.
 * Throws VqDeviceError with the reason for each package.
 */
export async function loadTensorflow(): Promise<void> {
  if (tf.findBackendFactory('tensorflow') != null) return
  supplyRemovedUtil()
  for (const name of tensorflowPackages) {
    const before = tf.getBackend()
    const gradients = registeredGradients()
    try {
      require(name)
      failures.delete(name)
      return
    } catch (error) {
      failures.set(name, reasonOf(error))
      // What a package registered before it failed.
      if (tf.findBackendFactory('tensorflow') != null) tf.removeBackend('tensorflow')
    } finally {
      for (const config of gradients) tf.registerGradient(config)
      if (before && tf.getBackend() !== before) await tf.setBackend(before)
    }
  }
  const installed = tensorflowInstalled().length > 0
  throw new VqDeviceError({
    operation: "device.use('tensorflow')",
    expected: tensorflowPackages.join(' or '),
    received: tensorflowPackages.map(name => `${name}: ${failures.get(name)}`).join('; '),
    remedy: installed
      ? "Let its install script run (`npm rebuild @tensorflow/tfjs-node`; pnpm: allowBuilds), or use device.use('auto')."
      : 'Install @tensorflow/tfjs-node 4.22 (or @tensorflow/tfjs-node-gpu) beside @vq/core.',
  })
}

// Both packages call functions of node:util that Node 23 removed.
function supplyRemovedUtil(): void {
  const util = require('node:util') as Record<string, unknown>
  util.isNullOrUndefined ??= (value: unknown): boolean => value === null || value === undefined
  util.isArray ??= Array.isArray
}

// tfjs's union package registers its own gradients over those that we have mended.
function registeredGradients(): tf.GradConfig[] {
  const names = Object.entries(tf).flatMap(([key, value]) => (key === value ? [key] : []))
  return names.flatMap(name => tf.getGradient(name) ?? [])
}

function reasonOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException
  if (code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND') return 'not installed'
  return String(message).split('\n')[0].trim()
}
