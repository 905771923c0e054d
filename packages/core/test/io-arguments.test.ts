import { VqConfigError, VqShapeError } from '@vq/core'
import * as io from '@vq/core/io'
import { Linear } from '@vq/core/nn'
import { expect, it } from 'vitest'

const wrong = (value: unknown): never => value as never

it.each<[string, (value: never) => unknown]>([
  ['loadNpy', io.loadNpy],
  ['loadNpz', io.loadNpz],
  ['openNpz', io.openNpz],
  ['loadPickle', io.loadPickle],
  ['loadVecs', io.loadVecs],
  ['loadSafetensors', io.loadSafetensors],
  ['openSafetensors', io.openSafetensors],
  ['loadTorchCheckpoint', io.loadTorchCheckpoint],
  ['openTorchCheckpoint', io.openTorchCheckpoint],
  ['openWeights', io.openWeights],
  ['writeFileAtomic', path => io.writeFileAtomic(path, 'text')],
  ['writeFolderAtomic', path => io.writeFolderAtomic(path, async () => {})],
  ['saveSafetensors to', path => io.saveSafetensors(path, {})],
  ['saveSafetensors of', source => io.saveSafetensors('never.safetensors', source)],
  ['saveSharded of', source => io.saveSharded('never', source)],
  ['saveNpz of', source => io.saveNpz('never.npz', source)],
  ['parsePickle', bytes => io.parsePickle(bytes, 'bytes')],
  ['parseNpy', bytes => io.parseNpy(bytes, 'bytes')],
  ['loadWeights into', module => io.loadWeights(module, 'never.safetensors')],
  [
    'loadWeights from',
    async source => {
      const layer = new Linear({ inFeatures: 1, outFeatures: 1 })
      try {
        return await io.loadWeights(layer, source)
      } finally {
        layer.dispose()
      }
    },
  ],
])('%s tells a wrong argument', async (_, call) => {
  for (const value of [undefined, null, 5]) {
    const error = await (async () => call(wrong(value)))().catch(e => e)
    expect(error, String(value)).toBeInstanceOf(VqConfigError)
  }
})

it('saveVecs tells vectors that are none', async () => {
  for (const value of [undefined, null, {}]) {
    const error = await io.saveVecs('never.fvecs', wrong(value)).catch(e => e)
    expect(error instanceof VqConfigError || error instanceof VqShapeError).toBe(true)
  }
})
