import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Random, tf } from '@vq/core'
import {
  createBackbone,
  createQuantizer,
  type FitSettings,
  fitSegmentation,
  OxfordPetDataModule,
  presetOf,
  SqueezeModule,
} from '@vq/segmentation'
import { afterAll, expect, test, vi } from 'vitest'
import { main } from '../src/cli/main.js'
import { writePets } from './tiny-data.js'

const folder = mkdtempSync(join(tmpdir(), 'vq-segment-resume-'))
const pets = join(folder, 'pets')
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const settings = (name: string): FitSettings => ({
  ...{ epochs: 2, batchSize: 3, learningRate: 1e-2, weightDecay: 0.01, schedule: 'cosine', warmupSteps: 1 },
  ...{ seed: 3, out: join(folder, name), resume: false, overwrite: false },
  ...{ cache: join(folder, 'cache'), copies: 1, augment: {} },
})
// More codes than a batch of 3 images has feature vectors (48).
const make = (freezeBackbone: boolean): SqueezeModule => {
  const random = new Random(1)
  const backbone = createBackbone(presetOf({ model: 'small', numClasses: 3, headWidth: 8 }), random)
  const quantizer = createQuantizer({ type: 'vq', codebookSize: 60, bottleneckDim: 4 }, 128, random)
  return new SqueezeModule({ backbone, quantizer, freezeBackbone })
}

test.each([
  ['behind frozen features', true],
  ['from scratch', false],
])('a run %s that was stopped and goes on ends with the same weights, bit for bit', async (_name, frozen) => {
  expect(tf.getBackend()).toBe('vq-cpu')
  await writePets(pets, 10)
  const data = new OxfordPetDataModule({ dataPath: pets, imageSize: 32, batchSize: 3 })
  await data.setup()
  const quiet = { progress: false } as const
  const name = String(frozen)
  const whole = make(frozen)
  const { features } = await fitSegmentation(whole, data, settings(`whole-${name}`), quiet)

  const stopped = make(frozen)
  const controller = new AbortController()
  const failure = await fitSegmentation(stopped, data, settings(`parts-${name}`), {
    ...quiet,
    signal: controller.signal,
    onStep: ({ step }) => {
      if (step === 3) controller.abort()
    },
  }).catch(error => error)
  expect(failure.name).toBe('AbortError')
  const resumed = make(frozen)
  const again = { ...settings(`parts-${name}`), resume: true }
  const { history, features: others } = await fitSegmentation(resumed, data, again, quiet)
  await Promise.all([...features, ...others].map(file => file.close()))
  expect(history.resumedFrom).toBe(3)
  expect(history.epochs.map(e => e.epoch)).toEqual([0, 1])
  const [a, b] = [whole.stateDict(), resumed.stateDict()]
  const other = Object.keys(a).filter(key => `${b[key]!.data}` !== `${a[key]!.data}`)
  expect(other).toEqual([])
})

test('a frozen backbone says every ten seconds how far its features are', async () => {
  const data = new OxfordPetDataModule({ dataPath: pets, imageSize: 32, batchSize: 3 })
  await data.setup()
  const lines: string[] = []
  let now = 0
  const model = make(true)
  const cut = new AbortController()
  vi.spyOn(performance, 'now').mockImplementation(() => {
    now += 4000
    return now
  })
  const own = { ...settings('told'), cache: join(folder, 'told-cache') }
  await fitSegmentation(model, data, own, {
    ...{ progress: false, signal: cut.signal, onStep: () => cut.abort() },
    say: line => lines.push(line),
  }).catch(() => {})
  vi.restoreAllMocks()
  expect(lines.filter(line => /^features of [1-8]\/8 images, \d+ s left$/.test(line)).length).toBeGreaterThan(
    0,
  )
})

test('the command logs to a ClearML server from its first step to its last', async () => {
  const calls: { endpoint: string; body: string }[] = []
  const server = createServer((request, response) => {
    let body = ''
    request.on('data', part => {
      body += part
    })
    request.on('end', () => {
      const endpoint = (request.url ?? '').slice(1)
      calls.push({ endpoint, body })
      response.end(
        JSON.stringify({ meta: { result_code: 200 }, data: { token: 'T', id: 'i', projects: [] } }),
      )
    })
  })
  await new Promise<void>(done => server.listen(0, '127.0.0.1', done))
  const host = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  for (const [name, value] of Object.entries({ HOST: host, ACCESS_KEY: 'a', SECRET_KEY: 's' }))
    vi.stubEnv(`CLEARML_API_${name}`, value)
  vi.spyOn(process.stdout, 'write').mockReturnValue(true)
  vi.spyOn(process.stderr, 'write').mockReturnValue(true)
  try {
    const flags = ['--data-path', pets, '--model', 'small', '--image-size', '32', '--epochs', '1', '--output-dir', folder] // biome-ignore format: one line
    const words = ['baseline', ...flags, '--use-clearml', '--project-name', 'p', '--task-name', 't']
    expect(await main(['node', 'vq-segment', ...words])).toBe(0)
  } finally {
    vi.restoreAllMocks()
    vi.unstubAllEnvs()
    server.closeAllConnections()
    server.close()
  }
  const endpoints = calls.map(c => c.endpoint)
  expect(endpoints.slice(0, 6)).toEqual(['auth.login', 'projects.get_all', 'projects.create', 'tasks.create', 'tasks.started', 'events.add_batch']) // biome-ignore format: one line
  expect(endpoints.at(-1)).toBe('tasks.completed')
  const points = calls
    .filter(c => c.endpoint === 'events.add_batch')
    .flatMap(c =>
      c.body
        .trim()
        .split('\n')
        .map(line => JSON.parse(line)),
    )
  const seen = new Set(points.map(p => `${p.metric}/${p.variant}`))
  for (const name of ['train/loss', 'train/meanIou', 'validation/loss', 'validation, best/IoU pet'])
    expect([name, seen.has(name)]).toEqual([name, true])
})
