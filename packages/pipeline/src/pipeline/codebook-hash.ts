import { createHash } from 'node:crypto'
import type { StateDict } from '@vq/core/io'
import type { Module } from '@vq/core/nn'

/** SHA-256 over the names, shapes and values of a module's state, in hexadecimal. */
export function stateHash(module: Module): string {
  const hash = createHash('sha256')
  const state: StateDict = module.stateDict()
  for (const name of Object.keys(state).sort()) {
    const { dtype, shape, data } = state[name] as StateDict[string]
    hash.update(`${name} ${dtype} [${shape.join(', ')}]\n`)
    hash.update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
  }
  return hash.digest('hex')
}
