import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { tf, VqFormatError } from '@vq/core'
import {
  loadWeights,
  openSafetensors,
  type StateDict,
  type StoredTensor,
  saveNpz,
  saveSafetensors,
  saveSharded,
  type TensorFile,
} from '@vq/core/io'
import { BatchNorm, Conv2d, Linear, Module, Sequential } from '@vq/core/nn'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { draw } from './draw.js'

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'vq-weights-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

const model = (): Sequential =>
  new Sequential(
    new Conv2d({ inChannels: 2, outChannels: 3, kernelSize: 3 }),
    new BatchNorm({ numFeatures: 3 }),
    new Linear({ inFeatures: 3, outFeatures: 4 }),
  )

/** Other weights for that model. */
function weights(seed: number): StateDict {
  const made = model()
  const state = made.stateDict()
  made.dispose()
  for (const [i, entry] of Object.values(state).entries())
    entry.data =
      entry.dtype === 'I64' ? BigInt64Array.of(BigInt(seed)) : draw(entry.data.length, seed * 100 + i)
  return state
}

/** An open file in memory, which counts what is read. */
function memory(state: StateDict): TensorFile & { reads: string[] } {
  const reads: string[] = []
  return {
    entries: new Map(Object.entries(state).map(([name, { dtype, shape }]) => [name, { dtype, shape }])),
    metadata: {},
    reads,
    read: async name => {
      reads.push(name)
      return state[name]
    },
    close: async () => {},
  }
}

describe('loadWeights', () => {
  it('sets what loadStateDict sets, from a file, a folder of shards or an open file', async () => {
    expect(tf.getBackend()).toBe('vq-cpu')
    const state = weights(1)
    const [file, shards] = [join(folder, 'w.safetensors'), join(folder, 'shards')]
    await saveSafetensors(file, state)
    await saveSharded(shards, state, { maxShardBytes: 100 })
    const open = memory(state)
    for (const source of [file, shards, open]) {
      const made = model()
      expect(await loadWeights(made, source)).toEqual({ missing: [], unexpected: [] })
      expect(made.stateDict()).toEqual(state)
      made.dispose()
    }
    expect([...open.reads].sort()).toEqual(Object.keys(state).sort())
  })

  it('widens any floats, and takes names by `rename`', async () => {
    const state = weights(2)
    const path = join(folder, 'half.safetensors')
    const named = Object.entries(state).map(([name, tensor]) => [`module.${name}`, tensor])
    await saveSafetensors(
      path,
      { ...Object.fromEntries(named), extra: state['2.bias'] },
      {},
      { floats: 'BF16' },
    )
    const made = model()
    const rename = (name: string): string | undefined => (name === 'extra' ? undefined : name.slice(7))
    await loadWeights(made, path, { rename })
    const file = await openSafetensors(path)
    for (const [name, { data }] of Object.entries(made.stateDict()))
      expect(data).toEqual((await file.read(`module.${name}`)).data)
    await file.close()
    made.dispose()
  })

  const replaced = (change: (state: StateDict) => void): StateDict => {
    const state = weights(3)
    change(state)
    return state
  }
  it.each<[string, () => StateDict, RegExp]>([
    ['a missing name', () => replaced(s => delete s['2.bias']), /missing '2.bias'/],
    ['an unexpected name', () => replaced(s => Object.assign(s, { more: s['2.bias'] })), /unexpected 'more'/],
    [
      'another shape',
      () => replaced(s => (s['2.bias'].shape = [2, 2])),
      /'2.bias' has shape \[2,2\] instead of \[4\]/,
    ],
    [
      'integers for floats',
      () => replaced(s => (s['2.bias'] = { dtype: 'I32', shape: [4], data: new Int32Array(4) })),
      /'2.bias' is I32 instead of F32/,
    ],
    [
      'complex numbers',
      () => replaced(s => (s['2.bias'] = { dtype: 'C64', shape: [4], data: new Float32Array(8) })),
      /is C64/,
    ],
    [
      'a float for a counter',
      () =>
        replaced(s => (s['1.num_batches_tracked'] = { dtype: 'F32', shape: [], data: new Float32Array(1) })),
      /is F32 instead of I64/,
    ],
    [
      'a counter beyond all integers',
      () => replaced(s => (s['1.num_batches_tracked'].data = BigInt64Array.of(2n ** 60n))),
      /too large/,
    ],
  ])('changes nothing for %s, and reads no floats', async (_, make, message) => {
    const made = model()
    const before = made.stateDict()
    const file = memory(make())
    const error = await loadWeights(made, file).catch(e => e)
    expect(error).toBeInstanceOf(VqFormatError)
    expect(error.message).toMatch(message)
    expect(made.stateDict()).toEqual(before)
    expect(file.reads.filter(name => name !== '1.num_batches_tracked')).toEqual([])
    made.dispose()
  })

  it('changes nothing where the file fails half way', async () => {
    const made = model()
    const before = made.stateDict()
    const tensors = tf.memory().numTensors
    const names = Object.keys(before)
    for (const [i, failing] of names.entries()) {
      const file = memory(weights(4))
      const read = file.read
      file.read = async name => {
        if (name === failing)
          throw new VqFormatError({ operation: 'r', expected: 'e', received: 'r', remedy: 'm' })
        return read(name)
      }
      await expect(loadWeights(made, file)).rejects.toThrow(VqFormatError)
      if (i === names.length - 1) expect(file.reads.length).toBeGreaterThan(1)
      expect(made.stateDict()).toEqual(before)
    }
    // A checksum that fails in the last array of an archive.
    const path = join(folder, 'late.npz')
    await saveNpz(path, weights(4))
    const bytes = readFileSync(path)
    bytes[bytes.indexOf(Buffer.from('PK\x01\x02', 'latin1')) - 1] ^= 1
    writeFileSync(path, bytes)
    await expect(loadWeights(made, path)).rejects.toThrow(/checksum/)
    expect(made.stateDict()).toEqual(before)
    expect(tf.memory().numTensors).toBe(tensors)
    made.dispose()
  })

  it('returns what is missing and unexpected where it is not strict, and sets the rest', async () => {
    const made = model()
    const before = made.stateDict()
    const state = replaced(s => {
      s.more = s['2.bias']
      delete s['2.bias']
    })
    const result = await loadWeights(made, memory(state), { strict: false })
    expect(result).toEqual({ missing: ['2.bias'], unexpected: ['more'] })
    const { more, ...others } = state
    expect(more.shape).toEqual([4])
    expect(made.stateDict()).toEqual({ ...others, '2.bias': before['2.bias'] })
    // Shapes must fit all the same.
    state['2.weight'].shape = [1, 12]
    await expect(loadWeights(made, memory(state), { strict: false })).rejects.toThrow(/has shape/)
    made.dispose()
  })

  it('refuses two names for one', async () => {
    const made = model()
    const state = weights(4)
    state.again = state['2.bias']
    const rename = (name: string): string => (name === 'again' ? '2.bias' : name)
    await expect(loadWeights(made, memory(state), { rename })).rejects.toThrow(
      /'2.bias' from '2.bias' and 'again'/,
    )
    made.dispose()
  })

  it('takes one name for a tensor that has two, or both where they agree', async () => {
    class Tied extends Module {
      readonly own = this.addParameter('own', tf.zeros([2]))
      // As a module with tied parameters answers.
      override slotsToLoad(): ReturnType<Module['slotsToLoad']> {
        const slots = new Map(super.slotsToLoad())
        return slots.set('twin', slots.get('own')!)
      }
    }
    const pair = (a: number, b: number): StateDict => {
      const one = (v: number): StoredTensor => ({ dtype: 'F32', shape: [2], data: Float32Array.of(v, v) })
      return { own: one(a), twin: one(b) }
    }
    const made = new Tied()
    await expect(loadWeights(made, memory(pair(1, 2)))).rejects.toThrow(/'twin' differs from 'own'/)
    expect([...made.own.dataSync()]).toEqual([0, 0])
    await loadWeights(made, memory(pair(3, 3)))
    expect([...made.own.dataSync()]).toEqual([3, 3])
    const { twin } = pair(0, 5)
    expect(await loadWeights(made, memory({ twin }))).toEqual({ missing: [], unexpected: [] })
    expect([...made.own.dataSync()]).toEqual([5, 5])
    made.dispose()
  })
})
