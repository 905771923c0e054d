import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { tf, VqConfigError, VqFormatError } from '@vq/core'
import {
  loadPickle,
  loadTorchCheckpoint,
  loadWeights,
  openTorchCheckpoint,
  type StoredTensor,
  saveNpz,
} from '@vq/core/io'
import { BatchNorm, Conv2d, Linear, Sequential } from '@vq/core/nn'
import { describe, expect, it } from 'vitest'
import { describeTree, expectedIn, oracle } from './torch-oracle.js'

const fixtures = expectedIn(oracle)

describe("PyTorch's checkpoints", () => {
  it.each(fixtures.filter(([file]) => file.endsWith('.pt')))(
    '%s is what PyTorch saved',
    async (file, tree) => {
      const { value } = await loadTorchCheckpoint(join(oracle, file))
      expect(describeTree(value)).toEqual(tree)
    },
  )

  it.each(fixtures.filter(([file]) => file.endsWith('.pt')))('%s reads one tensor at a time', async file => {
    const { tensors } = await loadTorchCheckpoint(join(oracle, file))
    const opened = await openTorchCheckpoint(join(oracle, file))
    try {
      expect([...opened.entries.keys()]).toEqual(Object.keys(tensors))
      for (const [name, { dtype, shape }] of opened.entries) {
        const tensor = await opened.read(name)
        expect({ dtype, shape }).toEqual({ dtype: tensor.dtype, shape: tensor.shape })
        expect(describeTree(tensor)).toEqual(describeTree(tensors[name]))
      }
    } finally {
      await opened.close()
    }
  })

  it.each(fixtures.filter(([file]) => file.endsWith('.pkl')))(
    '%s is what Python pickled',
    async (file, tree) => {
      expect(describeTree(await loadPickle(join(oracle, file)))).toEqual(tree)
    },
  )

  it('names tensors by their paths', async () => {
    const { tensors } = await loadTorchCheckpoint(join(oracle, 'training.pt'))
    const names = Object.keys(tensors)
    expect(names.slice(0, 9)).toEqual([
      'model.0.weight',
      'model.0.bias',
      'model.1.weight',
      'model.1.bias',
      'model.1.running_mean',
      'model.1.running_var',
      'model.1.num_batches_tracked',
      'model.2.weight',
      'model.2.bias',
    ])
    expect(names).toContain('optimizer.state.0.exp_avg_sq')
    expect(tensors['model.1.num_batches_tracked']).toEqual({
      dtype: 'I64',
      shape: [],
      data: BigInt64Array.of(2n),
    })
  })

  it('keeps the integer keys of an optimizer', async () => {
    const { value } = await loadTorchCheckpoint(join(oracle, 'training.pt'))
    const { optimizer, epoch } = value as {
      optimizer: {
        state: Map<number, { step: StoredTensor }>
        param_groups: { lr: number; params: number[] }[]
      }
      epoch: number
    }
    expect(epoch).toBe(2)
    expect([...optimizer.state.keys()]).toEqual([0, 1, 2, 3])
    expect(optimizer.state.get(0)?.step.data).toEqual(Float32Array.of(2))
    expect(optimizer.param_groups.map(({ lr, params }) => [lr, params])).toEqual([
      [0.01, [0, 1]],
      [0.001, [2, 3]],
    ])
  })

  it('picks a part by its path', async () => {
    const path = join(oracle, 'training.pt')
    const file = await openTorchCheckpoint(path, { prefix: 'model' })
    try {
      expect([...file.entries.keys()][0]).toBe('0.weight')
      expect((await file.read('1.running_mean')).shape).toEqual([3])
      await expect(file.read('model.0.weight')).rejects.toThrow(VqConfigError)
    } finally {
      await file.close()
    }
    const moments = await loadTorchCheckpoint(path, { prefix: 'optimizer.state.0' })
    expect(Object.keys(moments.tensors)).toEqual(['step', 'exp_avg', 'exp_avg_sq'])
    await expect(openTorchCheckpoint(path, { prefix: 'state_dict' })).rejects.toThrow(/'model', 'optimizer'/)
  })

  it('gives tensors that are the same view one array, and others their own', async () => {
    const { tensors } = await loadTorchCheckpoint(join(oracle, 'views.pt'))
    const [encoder, decoder, bias] = ['encoder.weight', 'decoder.weight', 'decoder.bias'].map(
      n => tensors[n].data,
    )
    expect(encoder).toBe(decoder)
    expect(bias).toEqual(encoder.slice(2, 4))
    expect(bias.buffer).not.toBe(encoder.buffer)
  })

  it('takes keys that JavaScript gives a meaning for plain ones', async () => {
    const { value } = await loadTorchCheckpoint(join(oracle, 'mixed-2.pt'))
    const tree = value as Record<string, unknown>
    expect(Object.getPrototypeOf(tree)).toBe(null)
    expect(Object.entries(tree).slice(-2)).toEqual([
      ['__proto__', 1],
      ['constructor', 'text'],
    ])
  })
})

describe('weights of modules', () => {
  const make = (): Sequential =>
    new Sequential(
      new Conv2d({ inChannels: 2, outChannels: 3, kernelSize: 3 }),
      new BatchNorm({ numFeatures: 3 }),
      new Linear({ inFeatures: 3, outFeatures: 2 }),
    )

  it('come from a part of a checkpoint', async () => {
    const path = join(oracle, 'training.pt')
    const model = make()
    expect(tf.getBackend()).toBe('vq-cpu')
    const file = await openTorchCheckpoint(path, { prefix: 'model' })
    expect(await loadWeights(model, file)).toEqual({ missing: [], unexpected: [] })
    await file.close()
    const { tensors } = await loadTorchCheckpoint(path, { prefix: 'model' })
    expect(describeTree(model.stateDict())).toEqual(describeTree(tensors))
    await expect(loadWeights(make(), path)).rejects.toThrow(/unexpected 'optimizer\.state\.0\.step'/)
  })

  it('come from .npz archives', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'vq-weights-'))
    try {
      const [from, to] = [make(), make()]
      await saveNpz(join(folder, 'w.npz'), from.stateDict())
      await loadWeights(to, join(folder, 'w.npz'))
      expect(to.stateDict()).toEqual(from.stateDict())
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})

describe('what is refused', () => {
  const refusals: Record<string, [named: RegExp, remedy: RegExp]> = {
    'complex32.pt': [/torch\.complex32/, /Convert/],
    'lambda.pt': [/torch\.nn\.functional\.relu/, /state_dict/],
    'meta.pt': [/_rebuild_meta_tensor_no_storage/, /real device/],
    'module-legacy.pt': [/__main__\.Net/, /state_dict/],
    'module.pt': [/torch\.nn\.modules\.container\.Sequential/, /state_dict/],
    'nested.pt': [/nested/, /unbind/],
    'objects.pt': [/elements of type 'O8'/, /Convert/],
    'pickled-tensor.pt': [/torch\._utils\._rebuild_tensor_v2/, /torch\.save/],
    'quantized.pt': [/_rebuild_qtensor/, /dequantize/],
    'records.pt': [/elements of type 'V8'/, /Convert/],
    'script.pt': [/TorchScript/, /state_dict/],
    'sparse-csr.pt': [/_rebuild_sparse_tensor/, /to_dense/],
    'sparse.pt': [/_rebuild_sparse_tensor/, /to_dense/],
    'system-legacy.pt': [/posix\.system/, /./],
    'system.pt': [/posix\.system/, /./],
  }

  it('has a fixture for each', () => {
    expect(readdirSync(join(oracle, 'refused')).sort()).toEqual(Object.keys(refusals))
  })

  it.each(Object.entries(refusals))('%s, by name and with a remedy', async (file, [named, remedy]) => {
    const error = await loadTorchCheckpoint(join(oracle, 'refused', file)).then(
      () => undefined,
      (error: unknown) => error,
    )
    expect(error).toBeInstanceOf(VqFormatError)
    expect((error as VqFormatError).message).toMatch(named)
    expect((error as VqFormatError).remedy).toMatch(remedy)
    expect(existsSync('VQ_WAS_HERE')).toBe(false)
  })

  it('is refused by plain pickles as well, tensors included', async () => {
    await expect(loadPickle(join(oracle, 'refused', 'pickled-tensor.pt'))).rejects.toThrow(/torch\.\w+/)
  })
})
