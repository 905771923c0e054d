import { tf, VqConfigError, VqFormatError } from '@vq/core'
import type { StateDict } from '@vq/core/io'
import { Embedding, Linear, Module, ModuleList, Sequential, Tanh } from '@vq/core/nn'
import { SGD } from '@vq/core/optim'
import { describe, expect, it } from 'vitest'
import { onBackends } from '../../../test/contract/backends.js'

class Tied extends Module {
  readonly table = this.addModule('table', new Embedding({ numEmbeddings: 3, embeddingDim: 2 }))
  readonly head = this.addModule(
    'head',
    new Linear({ inFeatures: 2, outFeatures: 3, tiedWeight: this.table.weight }),
  )
}

const linear = (): Linear => new Linear({ inFeatures: 2, outFeatures: 1 })

onBackends(() => {
  describe('tied parameters', () => {
    it('have both names on disk, and are counted, trained and disposed once', () => {
      const model = new Tied()
      expect(Object.keys(model.stateDict())).toEqual(['table.weight', 'head.weight', 'head.bias'])
      expect(model.namedParameters().map(p => p.name)).toEqual(['table.weight', 'head.bias'])
      expect(model.parameterCount()).toBe(9)
      const before = model.table.weight.dataSync()
      const optimizer = new SGD(model, { learningRate: 1 })
      expect(optimizer.parameters).toHaveLength(2)
      const gradient = tf.ones([3, 2])
      optimizer.step([gradient, null])
      expect(model.head.weight.dataSync()).toEqual(before.map(x => x - 1))
      gradient.dispose()
      optimizer.dispose()
      model.dispose()
      model.dispose()
      expect(model.table.weight.isDisposed).toBe(true)
    })

    it('load from both names or from one, and not from two that differ', () => {
      const [one, two] = [new Tied(), new Tied()]
      const state = one.stateDict()
      two.loadStateDict(state)
      expect(two.stateDict()).toEqual(state)
      const { 'head.weight': weight, ...short } = state
      two.loadStateDict(short)
      expect(two.stateDict()).toEqual(state)
      const data = (weight.data as Float32Array).map(x => x + 1)
      const other: StateDict = { ...state, 'head.weight': { ...weight, data } }
      expect(() => two.loadStateDict(other)).toThrow(VqFormatError)
      expect(() => two.loadStateDict(other)).toThrow(/'head.weight' differs from 'table.weight'/)
      expect(two.stateDict()).toEqual(state)
      one.dispose()
      two.dispose()
    })
  })

  describe('Module', () => {
    it('takes a part of a state where it need not be strict, and says what did not fit', () => {
      const model = new Sequential(linear(), new Tanh(), linear())
      const before = model.stateDict()
      const weight = { dtype: 'F32' as const, shape: [1, 2], data: Float32Array.of(5, 6) }
      expect(() => model.loadStateDict({ '0.weight': weight, extra: weight })).toThrow(VqFormatError)
      expect(model.stateDict()).toEqual(before)
      expect(model.loadStateDict({ '0.weight': weight, extra: weight }, { strict: false })).toEqual({
        missing: ['0.bias', '2.weight', '2.bias'],
        unexpected: ['extra'],
      })
      expect(model.stateDict()).toEqual({ ...before, '0.weight': weight })
      expect(model.loadStateDict(before)).toEqual({ missing: [], unexpected: [] })
      const misshapen = { ...weight, shape: [2, 1] }
      expect(() => model.loadStateDict({ '0.weight': misshapen }, { strict: false })).toThrow(
        /has shape \[2,1\]/,
      )
      const short = { ...weight, data: Float32Array.of(1) }
      expect(() => model.loadStateDict({ '0.weight': short }, { strict: false })).toThrow(/holds 1 values/)
      expect(model.stateDict()).toEqual(before)
      model.dispose()
    })

    it('gives its children by name and by path', () => {
      const inner = new Sequential(linear())
      const model = new Sequential(inner, new Tanh())
      expect(model.namedChildren().map(([name]) => name)).toEqual(['0', '1'])
      expect(model.submodule('0.0')).toBe(inner.layers[0])
      expect(model.submodule('')).toBe(model)
      expect(() => model.submodule('0.1')).toThrow(VqConfigError)
      model.dispose()
    })

    it('keeps one module under two names, and no module below itself', () => {
      const shared = linear()
      const model = new ModuleList([shared, shared])
      expect(Object.keys(model.stateDict())).toEqual(['0.weight', '0.bias', '1.weight', '1.bias'])
      expect(model.parameterCount()).toBe(3)
      expect(model.namedModules().map(([name]) => name)).toEqual(['', '0'])
      expect([...model]).toEqual([shared, shared])
      expect(model.length).toBe(2)
      class Loop extends Module {
        constructor() {
          super()
          this.addModule('child', new Inner(this))
        }
      }
      class Inner extends Module {
        constructor(parent: Module) {
          super()
          this.addModule('parent', parent)
          // The loop closes here.
          ;(parent as unknown as { addModule(name: string, m: Module): void }).addModule('again', this)
        }
      }
      expect(() => new Loop()).toThrow(VqConfigError)
      expect(() => new ModuleList([undefined as never])).toThrow(VqConfigError)
      model.dispose()
    })
  })
})

describe('flattened feature maps', () => {
  it('put input [h, w, c] of the memory at [c, h, w] of the disk, of weights and of biases', () => {
    const layer = new Linear({
      inFeatures: 6,
      outFeatures: 4,
      flattenedFrom: [1, 3, 2],
      unflattenedTo: [2, 1, 2],
    })
    tf.tidy(() => {
      layer.weight.assign(tf.reshape(tf.range(0, 24), [6, 4]))
      layer.bias?.assign(tf.range(0, 4))
    })
    const { weight, bias } = layer.stateDict()
    expect(weight.shape).toEqual([4, 6])
    // Memory row w·2 + c is disk column c·3 + w, memory column h·2 + c is disk row c·2 + h.
    const expected = Array.from({ length: 24 }, (_, i) => {
      const [row, column] = [Math.floor(i / 6), i % 6]
      const [outC, outH] = [Math.floor(row / 2), row % 2]
      const [inC, inW] = [Math.floor(column / 3), column % 3]
      return (inW * 2 + inC) * 4 + outH * 2 + outC
    })
    expect(Array.from(weight.data as Float32Array)).toEqual(expected)
    expect(Array.from(bias.data as Float32Array)).toEqual([0, 2, 1, 3])
    layer.dispose()
  })
})
