import { execFileSync, spawnSync } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { VqConfigError, VqFormatError } from '@vq/core'
import { loadSafetensors, openSafetensors, type StateDict, saveSafetensors, saveSharded } from '@vq/core/io'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { draw } from './draw.js'

const python = process.env.VQ_PYTHON ?? 'python3'
const hasSafetensors = spawnSync(python, ['-c', 'import safetensors.numpy']).status === 0
const fixture = new URL('fixtures/sharded', import.meta.url).pathname
const index = 'model.safetensors.index.json'
let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'vq-shards-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

const state: StateDict = Object.fromEntries(
  Array.from({ length: 25 }, (_, i) => [
    i === 3 ? '7' : `layer.${i}.weight`,
    {
      dtype: i % 4 === 0 ? 'BF16' : 'F32',
      shape: [4, i],
      data: draw(4 * i, i).map(v => Math.round(v * 64) / 64),
    },
  ]),
)
const bytesOf = (name: string): number => state[name].data.length * (state[name].dtype === 'F32' ? 4 : 2)
const total = Object.keys(state).reduce((sum, name) => sum + bytesOf(name), 0)
const text = (...names: string[]): string => readFileSync(join(folder, ...names), 'utf8')

describe('shards', () => {
  it('are filled in order up to their size, named and indexed as Hugging Face does', async () => {
    await saveSharded(join(folder, 'm'), state, { maxShardBytes: 1000, metadata: { format: 'pt' } })
    const { metadata, weight_map: map } = JSON.parse(text('m', index))
    expect(metadata).toEqual({ total_size: total })
    const names = readdirSync(join(folder, 'm')).filter(name => name !== index)
    expect(names).toEqual(
      names.map(
        (_, i) =>
          `model-${String(i + 1).padStart(5, '0')}-of-${String(names.length).padStart(5, '0')}.safetensors`,
      ),
    )
    expect(Object.keys(map).sort()).toEqual(Object.keys(state).sort())
    const sizes = names.map(name =>
      Object.keys(map).reduce((sum, key) => sum + (map[key] === name ? bytesOf(key) : 0), 0),
    )
    expect(Math.max(...sizes)).toBeLessThanOrEqual(1000)
    // No two neighbours would have fitted into one.
    const whole = await Promise.all(names.map(name => loadSafetensors(join(folder, 'm', name))))
    for (const [i, { tensors }] of whole.slice(1).entries()) {
      const first = Object.keys(state).find(name => name in tensors)!
      expect(sizes[i] + bytesOf(first)).toBeGreaterThan(1000)
    }
    for (const path of [join(folder, 'm'), join(folder, 'm', index)]) {
      const read = await loadSafetensors(path)
      expect({ ...read.tensors }).toEqual(state)
      expect({ ...read.metadata }).toEqual({ format: 'pt' })
    }
  })

  it('become one file where all fits, replace each other as a whole, and leave other files alone', async () => {
    const path = join(folder, 'm')
    await saveSharded(path, state, { maxShardBytes: 1000 })
    writeFileSync(join(path, 'config.json'), '{}')
    mkdirSync(join(path, 'tokenizer'))
    writeFileSync(join(path, 'tokenizer/words'), 'a')
    // From the very files that are replaced.
    const file = await openSafetensors(path)
    await saveSharded(path, file)
    await file.close()
    expect(readdirSync(path).sort()).toEqual(['config.json', 'model.safetensors', 'tokenizer'])
    expect(text('m', 'tokenizer', 'words')).toBe('a')
    expect({ ...(await loadSafetensors(path)).tensors }).toEqual(state)
    await saveSharded(path, state, { maxShardBytes: 1, floats: 'F32' })
    // A file for each tensor, the index, and the two others.
    expect(readdirSync(path)).toHaveLength(25 + 1 + 2)
    expect(readdirSync(folder)).toEqual(['m'])
    await expect(saveSharded(path, state, { maxShardBytes: 0 })).rejects.toThrow(VqConfigError)
  })

  it('are read with few files open at a time', async () => {
    const path = join(folder, 'm')
    await saveSharded(path, state, { maxShardBytes: 1 })
    const open = (): number => (existsSync('/proc/self/fd') ? readdirSync('/proc/self/fd').length : 0)
    const before = open()
    const file = await openSafetensors(path)
    const found = await Promise.all(Object.keys(state).map(name => file.read(name)))
    expect(open() - before).toBeLessThanOrEqual(4)
    expect(found).toEqual(Object.values(state))
    expect(await file.read('layer.9.weight', { rows: [1, 3] })).toEqual({
      ...state['layer.9.weight'],
      shape: [2, 9],
      data: state['layer.9.weight'].data.slice(9, 27),
    })
    await expect(file.read('none')).rejects.toThrow(VqConfigError)
    await file.close()
    expect(open()).toBe(before)
  })

  it('are read as the Python package wrote them', async () => {
    const { tensors } = await loadSafetensors(fixture)
    expect({ ...tensors }).toEqual({
      a: { dtype: 'F32', shape: [2, 3], data: Float32Array.of(0, 1, 2, 3, 4, 5) },
      b: { dtype: 'BF16', shape: [2], data: Float32Array.of(0.5, -2) },
      c: { dtype: 'I64', shape: [], data: BigInt64Array.of(7n) },
    })
  })

  it.skipIf(!hasSafetensors)(
    'are read by the Python package (skipped where Python lacks safetensors)',
    async () => {
      await saveSharded(join(folder, 'm'), state, { maxShardBytes: 1000, floats: 'F32' })
      const code = `
import sys, json
from pathlib import Path
from safetensors import safe_open
folder = Path(sys.argv[1])
index = json.loads((folder / '${index}').read_text())
out = {}
for shard in sorted(set(index['weight_map'].values())):
  with safe_open(folder / shard, 'numpy') as f:
    for k in f.keys():
      assert index['weight_map'][k] == shard
      out[k] = [list(f.get_tensor(k).shape), f.get_tensor(k).tobytes().hex()]
print(json.dumps(out))`
      const seen = JSON.parse(execFileSync(python, ['-c', code, join(folder, 'm')], { encoding: 'utf8' }))
      expect(Object.keys(seen)).toHaveLength(25)
      for (const [name, { shape, data }] of Object.entries(state))
        expect(seen[name]).toEqual([shape, Buffer.from(data.buffer).toString('hex')])
    },
  )
})

describe('a folder', () => {
  const one: StateDict = { x: { dtype: 'U8', shape: [1], data: Uint8Array.of(1) } }

  it('is read by its model.safetensors, or the only file in it', async () => {
    await saveSafetensors(join(folder, 'other.safetensors'), one)
    expect({ ...(await loadSafetensors(folder)).tensors }).toEqual(one)
    await saveSafetensors(join(folder, 'second.safetensors'), one)
    await expect(loadSafetensors(folder)).rejects.toThrow(/other.safetensors, second.safetensors/)
    await saveSafetensors(join(folder, 'model.safetensors'), one)
    expect({ ...(await loadSafetensors(folder)).tensors }).toEqual(one)
  })

  it('is refused where it holds neither', async () => {
    await expect(loadSafetensors(folder)).rejects.toThrow(VqFormatError)
  })
})

describe('an index that lies', () => {
  const outside = (): string => join(folder, 'outside.safetensors')
  const inside = (): string => join(folder, 'm')
  const write = (map: object | string): string => {
    const path = join(inside(), index)
    writeFileSync(path, typeof map === 'string' ? map : JSON.stringify({ weight_map: map }))
    return path
  }
  const tensor = (value: number): StateDict => ({
    x: { dtype: 'U8', shape: [1], data: Uint8Array.of(value) },
  })
  beforeEach(async () => {
    await saveSafetensors(outside(), tensor(9))
    await saveSafetensors(join(inside(), 'a.safetensors'), tensor(1))
    await saveSafetensors(join(inside(), 'b.safetensors'), tensor(2))
    await saveSafetensors(join(inside(), 'sub/c.safetensors'), tensor(3))
    symlinkSync(outside(), join(inside(), 'link.safetensors'))
    symlinkSync(folder, join(inside(), 'up'))
    symlinkSync('sub/c.safetensors', join(inside(), 'fine.safetensors'))
  })

  it.each<[string, () => string, RegExp]>([
    ['a file above', () => write({ x: '../outside.safetensors' }), /in the folder of the index/],
    ['a file above by a detour', () => write({ x: 'sub/../../outside.safetensors' }), /in the folder/],
    ['a file above, for Windows', () => write({ x: '..\\outside.safetensors' }), /in the folder/],
    ['an absolute path', () => write({ x: outside() }), /in the folder/],
    ['a drive', () => write({ x: 'C:outside.safetensors' }), /in the folder/],
    ['no name', () => write({ x: '' }), /in the folder/],
    ['the folder itself', () => write({ x: '.' }), /in the folder|a folder/],
    ['a NUL', () => write({ x: 'a.safetensors\0' }), /in the folder/],
    ['a link that leads out', () => write({ x: 'link.safetensors' }), /a link to/],
    ['a folder that leads out', () => write({ x: 'up/outside.safetensors' }), /a link to/],
    ['a missing file', () => write({ x: 'none.safetensors' }), /ENOENT/],
    [
      'a tensor that is elsewhere',
      () => write({ x: 'a.safetensors', y: 'b.safetensors' }),
      /'x' in a.safetensors alone/,
    ],
    [
      'a tensor that is nowhere',
      () => write({ x: 'a.safetensors', y: 'a.safetensors' }),
      /no tensor of that name/,
    ],
    ['a name twice', () => write('{"weight_map":{"x":"a.safetensors","x":"b.safetensors"}}'), /"x" twice/],
    ['two maps', () => write('{"weight_map":{},"weight_map":{}}'), /"weight_map" twice/],
    ['numbers for files', () => write({ x: 1 }), /JSON with "/],
    ['a list', () => write('[]'), /JSON with {/],
    ['no map', () => write('{}'), /a weight_map/],
    ['no JSON', () => write('{'), /JSON with/],
    ['depth', () => write(`{"metadata":${'['.repeat(1e6)}`), /128 levels/],
  ])('is refused: %s', async (_, make, message) => {
    const error = await loadSafetensors(make()).catch(e => e)
    expect(error).toBeInstanceOf(VqFormatError)
    expect(error.message).toMatch(message)
  })

  it('may name files in folders below and links that stay inside, and others when asked to follow', async () => {
    const value = async (name: string, options = {}): Promise<unknown> =>
      (await loadSafetensors(write({ x: name }), options)).tensors.x.data[0]
    expect(await value('sub/c.safetensors')).toBe(3)
    expect(await value('fine.safetensors')).toBe(3)
    expect(await value('link.safetensors', { followLinks: true })).toBe(9)
    await expect(value('../outside.safetensors', { followLinks: true })).rejects.toThrow(/in the folder/)
  })

  it('is told of a file that is replaced after it was opened', async () => {
    const file = await openSafetensors(write({ x: 'a.safetensors' }))
    await saveSafetensors(join(inside(), 'a.safetensors'), tensor(5))
    await expect(file.read('x')).rejects.toThrow(/a changed one/)
    await file.close()
  })
})
