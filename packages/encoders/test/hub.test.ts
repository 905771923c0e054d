import { createHash } from 'node:crypto'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { tf, VqConfigError, VqDeviceError, VqFormatError } from '@vq/core'
import { BaseEncoder, type EncoderOutput, fromPretrained, registerFamily } from '@vq/encoders'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { expectEqualLayers } from './pretrained-fixture.js'

const oracle = join(import.meta.dirname, '../../../test/oracle/encoders')
const commit = '0123456789abcdef0123456789abcdef01234567'
const variables = [
  'HF_HOME',
  'HF_HUB_CACHE',
  'HF_HUB_OFFLINE',
  'HF_TOKEN',
  'HF_ENDPOINT',
  'TRANSFORMERS_OFFLINE',
]

let folder: string
let server: Server
let requests: { method: string; url: string; token: string | undefined }[] = []
/** What the server has under 'tiny/model'. */
let files: Map<string, Buffer>
let damaged = false

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')
const sha1 = (bytes: Buffer): string => createHash('sha1').update(bytes).digest('hex')

beforeAll(async () => {
  server = createServer((request, response) => {
    const { method = '', url = '', headers } = request
    requests.push({ method, url, token: headers.authorization })
    const json = (value: unknown, status = 200): void => {
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value))
    }
    let body = ''
    request.on('data', part => {
      body += part
    })
    request.on('end', () => {
      if (url.startsWith('/api/models/tiny/private'))
        return json({ error: 'gated' }, headers.authorization === 'Bearer hf_secret' ? 404 : 401)
      if (url.startsWith('/api/models/tiny/model/revision/main'))
        return json({
          _id: '1',
          id: 'tiny/model',
          modelId: 'tiny/model',
          sha: commit,
          private: false,
          gated: false,
        })
      if (url.startsWith(`/api/models/tiny/model/paths-info/${commit}`)) {
        const { paths } = JSON.parse(body) as { paths: string[] }
        const found = paths.flatMap(path => {
          const bytes = files.get(path)
          if (bytes === undefined) return []
          const lfs = path.endsWith('.safetensors')
            ? { lfs: { oid: sha256(bytes), size: bytes.length, pointerSize: 1 } }
            : {}
          return [{ type: 'file', path, size: bytes.length, oid: sha1(bytes), ...lfs }]
        })
        return json(found)
      }
      const bytes = files.get(url.split('?')[0]!.replace(`/tiny/model/resolve/${commit}/`, ''))
      if (bytes === undefined) return json({ error: 'not found' }, 404)
      const sent = damaged ? Buffer.from(bytes.map((v, i) => (i === 9 ? v ^ 1 : v))) : bytes
      const range = /bytes=(\d+)-(\d*)/.exec(headers.range ?? '')
      const from = range ? Number(range[1]) : 0
      const to = range?.[2] ? Math.min(Number(range[2]), sent.length - 1) : sent.length - 1
      response.writeHead(range ? 206 : 200, {
        etag: `"${sha1(bytes)}"`,
        'content-length': to - from + 1,
        ...(range && { 'content-range': `bytes ${from}-${to}/${sent.length}` }),
      })
      response.end(sent.subarray(from, to + 1))
    })
  })
  await new Promise<void>(done => server.listen(0, '127.0.0.1', done))
})
afterAll(() => server.close())

let before: Record<string, string | undefined>
beforeEach(() => {
  before = Object.fromEntries(variables.map(name => [name, process.env[name]]))
  for (const name of variables) delete process.env[name]
  folder = mkdtempSync(join(tmpdir(), 'vq-hub-'))
  process.env.HF_HOME = folder
  process.env.HF_ENDPOINT = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  requests = []
  damaged = false
  const from = join(oracle, 'vit-oblong')
  files = new Map(
    readdirSync(from)
      .filter(name => name !== 'expected.safetensors')
      .map(name => [name, readFileSync(join(from, name))]),
  )
})
afterEach(() => {
  for (const [name, value] of Object.entries(before))
    if (value === undefined) delete process.env[name]
    else process.env[name] = value
  rmSync(folder, { recursive: true, force: true })
})

/** One of the checkpoints as the Python library keeps it in its cache. */
function cached(name: string, revision = 'main'): string {
  const repository = join(folder, 'hub', 'models--tiny--model')
  const snapshot = join(repository, 'snapshots', commit)
  mkdirSync(join(repository, 'refs'), { recursive: true })
  mkdirSync(join(repository, 'blobs'), { recursive: true })
  mkdirSync(snapshot, { recursive: true })
  writeFileSync(join(repository, 'refs', revision), commit)
  for (const file of readdirSync(join(oracle, name))) {
    cpSync(join(oracle, name, file), join(repository, 'blobs', `blob-${file}`))
    symlinkSync(join('..', '..', 'blobs', `blob-${file}`), join(snapshot, file))
  }
  return repository
}

describe('a model on the hub', () => {
  test('is downloaded once, into the layout of the Python cache, shards and all', async () => {
    const encoder = await fromPretrained('tiny/model')
    expect(tf.getBackend()).toBe('vq-cpu')
    const repository = join(folder, 'hub', 'models--tiny--model')
    expect(readFileSync(join(repository, 'refs', 'main'), 'utf8')).toBe(commit)
    const snapshot = join(repository, 'snapshots', commit)
    expect(readdirSync(snapshot).sort()).toEqual([...files.keys()].sort())
    for (const [name, bytes] of files) expect(readFileSync(join(snapshot, name)).equals(bytes)).toBe(true)
    expect(
      existsSync(join(repository, 'blobs', sha256(files.get('model-00001-of-00003.safetensors')!))),
    ).toBe(true)
    cpSync(join(oracle, 'vit-oblong', 'expected.safetensors'), join(snapshot, 'expected.safetensors'))
    expect(await expectEqualLayers(snapshot)).toBe(5)
    const asked = requests.length
    process.env.HF_HUB_OFFLINE = '1'
    const again = await fromPretrained('tiny/model')
    expect(requests.length).toBe(asked)
    expect(again.stateDict()).toEqual(encoder.stateDict())
  })

  test('is asked for with the token', async () => {
    process.env.HF_TOKEN = 'hf_secret'
    await fromPretrained('tiny/model')
    expect(requests.every(({ token }) => token === 'Bearer hf_secret')).toBe(true)
  })

  test('is found in the cache without the network, by name, by commit and by the folder of the cache', async () => {
    const repository = cached('dinov2')
    process.env.HF_HUB_OFFLINE = 'true'
    for (const [name, options] of [
      ['tiny/model', {}],
      ['tiny/model', { revision: commit }],
      [repository, {}],
      ['tiny/model', { cacheDir: join(folder, 'hub'), offline: true }],
    ] as const)
      expect((await fromPretrained(name, options)).embeddingDim).toBe(8)
    await expect(fromPretrained('tiny/model', { revision: 'v2' })).rejects.toThrow(
      /revision 'v2' in the cache/,
    )
    expect(requests).toEqual([])
  })

  test('is refused by name where a file is missing, damaged, forbidden or out of reach', async () => {
    files.delete('config.json')
    await expect(fromPretrained('tiny/model')).rejects.toThrow(/a file config\.json/)
    files.set('config.json', readFileSync(join(oracle, 'vit-oblong', 'config.json')))
    rmSync(join(folder, 'hub'), { recursive: true })
    damaged = true
    await expect(fromPretrained('tiny/model')).rejects.toThrow(/sha256|JSON/)
    damaged = false
    await expect(fromPretrained('tiny/private')).rejects.toThrow(/status 401.*HF_TOKEN/)
    process.env.HF_ENDPOINT = 'http://127.0.0.1:1'
    await expect(fromPretrained('tiny/other')).rejects.toThrow(VqDeviceError)
    process.env.HF_HUB_OFFLINE = '1'
    await expect(fromPretrained('tiny/other')).rejects.toThrow(/HF_HUB_OFFLINE/)
  })
})

describe('a folder', () => {
  const broken = (name: string, change: (path: string) => void): string => {
    const path = join(folder, 'broken')
    cpSync(join(oracle, name), path, { recursive: true })
    rmSync(join(path, 'expected.safetensors'))
    change(path)
    return path
  }
  const edit = (fields: Record<string, unknown>) => (path: string) => {
    const file = join(path, 'config.json')
    writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, 'utf8')), ...fields }))
  }

  test.each([
    [
      'a shard',
      'vit-oblong',
      (path: string) => rmSync(join(path, 'model-00002-of-00003.safetensors')),
      /model-00002-of-00003/,
    ],
    ['weights', 'vit', (path: string) => rmSync(join(path, 'model.safetensors')), /pytorch_model\.bin/],
    ['its configuration', 'vit', (path: string) => rmSync(join(path, 'config.json')), /config\.json/],
    ['a layer', 'vit', edit({ num_hidden_layers: 3 }), /missing 'blocks\.2\./],
    ['room for a layer', 'vit', edit({ num_hidden_layers: 1 }), /unexpected 'blocks\.1\./],
    ['the right widths', 'vit', edit({ intermediate_size: 13 }), /has shape/],
  ])('that lacks %s is refused, which is named', async (_, name, change, message) => {
    const path = broken(name, change)
    const tensors = tf.memory().numTensors
    const error = await fromPretrained(path).catch(e => e)
    expect(error).toBeInstanceOf(VqFormatError)
    expect(error.message).toMatch(message)
    expect(tf.memory().numTensors).toBe(tensors)
  })

  test.each([
    ['vit', { hidden_act: 'softmax' }, /hidden_act/],
    ['vit', { layer_norm_eps: 'small' }, /layer_norm_eps/],
    ['vit', { patch_size: [4, 4, 4] }, /patch_size/],
    ['vit', { head_dim: 3 }, /head_dim/],
    ['vit', { num_attention_heads: 3 }, /numHeads/],
    ['vit', { model_type: 'swin' }, /model_type among/],
    ['resnet-basic', { layer_type: 'inverted' }, /layer_type/],
  ])('of %s with %j is refused, which is named', async (name, fields, message) => {
    const error = await fromPretrained(broken(name, edit(fields))).catch(e => e)
    expect(error).toBeInstanceOf(VqConfigError)
    expect(error.message).toMatch(message)
  })

  test('that does not exist, and weights of an unknown kind, are refused', async () => {
    await expect(fromPretrained(join(folder, 'nowhere'))).rejects.toThrow(VqConfigError)
    await expect(fromPretrained('../nowhere')).rejects.toThrow(VqConfigError)
    await expect(fromPretrained('')).rejects.toThrow(VqConfigError)
    await expect(fromPretrained(join(oracle, '../pca.safetensors'))).rejects.toThrow(/a config\.json beside/)
  })

  test.each([
    ['torchvision-vit/model.pth', { numHeads: 'two' }, /numHeads/],
    ['torchvision-vit/model.pth', {}, /numHeads/],
    ['torchvision-vit/model.pth', { numHeads: 2, imageSize: [9] }, /imageSize/],
    ['deeplab/model.pth', { rates: 3 }, /rates/],
    ['torchvision-resnet18/model.pth', { outputStride: 5 }, /outputStride/],
    ['vit', { pooling: 'max' }, /pooling/],
  ])('%s with the options %j is refused, which is named', async (name, options, message) => {
    const error = await fromPretrained(join(oracle, name), options).catch(e => e)
    expect(error).toBeInstanceOf(VqConfigError)
    expect(error.message).toMatch(message)
  })

  test('gives the mean over its patches where that is asked for, without the pooler', async () => {
    const encoder = await fromPretrained(join(oracle, 'vit'), { pooling: 'mean' })
    const { embedding, sequence } = encoder.forward(tf.ones([1, 16, 16, 3]))
    const mean = tf.mean(tf.slice(sequence!, [0, 1, 0], [1, 16, 8]), 1)
    for (const [i, v] of embedding.dataSync().entries()) expect(v).toBeCloseTo(mean.dataSync()[i]!, 6)
  })

  test("of a user's own family is read by its rules", async () => {
    class Scale extends BaseEncoder {
      readonly inputShape = [4]
      readonly embeddingDim = 4
      readonly scale = this.addParameter('scale', tf.zeros<tf.Rank.R1>([12]))
      protected encode(x: tf.Tensor): EncoderOutput {
        return { embedding: x as tf.Tensor2D }
      }
    }
    registerFamily({
      name: 'means',
      modelTypes: [],
      detect: names => names.has('explained_variance'),
      rename: name => (name === 'mean' ? 'scale' : undefined),
      create: () => new Scale(),
    })
    const encoder = (await fromPretrained(join(oracle, '../pca.safetensors'))) as Scale
    expect(encoder.scale.dataSync().every(v => v !== 0)).toBe(true)
    expect(encoder.training).toBe(false)
  })
})
