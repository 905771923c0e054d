import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { VqConfigError, VqDeviceError } from '@vq/core'
import { ClearMLTask } from '@vq/segmentation'
import { afterEach, expect, test } from 'vitest'

interface Call {
  endpoint: string
  authorization: string | undefined
  type: string | undefined
  body: string
}

/** Answers as ClearML's API server does, and records what it was asked. */
class StandIn {
  readonly calls: Call[] = []
  /** Endpoints that fail, with what they answer. */
  readonly failing: Record<string, number> = {}
  projects: { id: string; name: string }[] = []
  /** Endpoints that never answer. */
  readonly silent = new Set<string>()
  /** Answers in place of its own. */
  readonly instead: Record<string, string> = {}
  private readonly server: Server

  constructor() {
    this.server = createServer(async (request, response) => {
      const endpoint = (request.url ?? '').slice(1)
      const { authorization, 'content-type': type } = request.headers
      this.calls.push({ endpoint, authorization, type, body: await textOf(request) })
      if (this.silent.has(endpoint)) return
      if (this.instead[endpoint] !== undefined) return void response.end(this.instead[endpoint])
      const status = this.failing[endpoint] ?? this.status(endpoint, type)
      const meta = { result_code: status, result_msg: status === 200 ? 'OK' : 'refused' }
      response.writeHead(status, { 'content-type': 'application/json' })
      response.end(JSON.stringify({ meta, data: status === 200 ? this.answer(endpoint) : {} }))
    })
  }

  // As the server's handler of requests: several events are read of this type alone.
  private status(endpoint: string, type: string | undefined): number {
    const wanted = endpoint === 'events.add_batch' ? 'application/json-lines' : 'application/json'
    return type === wanted ? 200 : 400
  }

  private answer(endpoint: string): object {
    if (endpoint === 'auth.login') return { token: 'T0' }
    if (endpoint === 'projects.get_all') return { projects: this.projects }
    if (endpoint === 'projects.create') return { id: 'p1' }
    if (endpoint === 'tasks.create') return { id: 't1' }
    return {}
  }

  async open(): Promise<string> {
    await new Promise<void>(done => this.server.listen(0, '127.0.0.1', done))
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`
  }

  close(): Promise<void> {
    this.server.closeAllConnections()
    return new Promise(done => this.server.close(() => done()))
  }
}

async function textOf(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = []
  for await (const part of request) parts.push(part as Buffer)
  return Buffer.concat(parts).toString()
}

const keys = { accessKey: 'A', secretKey: 'S', project: 'pets', task: 'rvq' }
let standIn: StandIn
afterEach(() => standIn?.close())

test('logs in, makes project and task, sends points with the parameters, and ends the task', async () => {
  standIn = new StandIn()
  const host = await standIn.open()
  const task = await ClearMLTask.connect({ ...keys, host, parameters: { lr: 1e-4, levels: undefined } })
  await task.scalars(10, 'train', { loss: 0.5, bad: Number.NaN, meanIou: 0.25 })
  await task.finish('completed')
  const names = ['auth.login', 'projects.get_all', 'projects.create', 'tasks.create', 'tasks.started', 'events.add_batch', 'tasks.completed'] // biome-ignore format: one line
  expect(standIn.calls.map(c => c.endpoint)).toEqual(names)
  expect(standIn.calls[0]!.authorization).toBe(`Basic ${Buffer.from('A:S').toString('base64')}`)
  expect(standIn.calls.slice(1).every(c => c.authorization === 'Bearer T0')).toBe(true)
  expect(JSON.parse(standIn.calls[3]!.body)).toEqual({
    name: 'rvq',
    project: 'p1',
    type: 'training',
    hyperparams: { Args: { lr: { section: 'Args', name: 'lr', value: '0.0001' } } },
  })
  const events = standIn.calls[5]!.body.trim()
    .split('\n')
    .map(line => JSON.parse(line))
  expect(
    events.map(({ type, task, iter, metric, variant, value }) => [type, task, iter, metric, variant, value]),
  ).toEqual([
    ['training_stats_scalar', 't1', 10, 'train', 'loss', 0.5],
    ['training_stats_scalar', 't1', 10, 'train', 'meanIou', 0.25],
  ])
})

test('uses a project that is there', async () => {
  standIn = new StandIn()
  standIn.projects = [{ id: 'old', name: 'pets' }]
  await ClearMLTask.connect({ ...keys, host: await standIn.open() })
  const made = standIn.calls.find(c => c.endpoint === 'tasks.create')
  expect([JSON.parse(made!.body).project, standIn.calls.some(c => c.endpoint === 'projects.create')]).toEqual(
    ['old', false],
  )
})

test('a server that fails during training loses nothing and throws nothing: points go with the next ones', async () => {
  standIn = new StandIn()
  const warnings: string[] = []
  const task = await ClearMLTask.connect({
    ...keys,
    host: await standIn.open(),
    retryAfter: 0,
    onWarning: m => warnings.push(m),
  })
  standIn.failing['events.add_batch'] = 503
  await task.scalars(1, 'train', { loss: 3 })
  await task.scalars(2, 'train', { loss: 2 })
  expect(warnings).toHaveLength(1)
  expect(warnings[0]).toMatch(/503.*training goes on/)
  delete standIn.failing['events.add_batch']
  await task.scalars(3, 'train', { loss: 1 })
  const lines = standIn.calls.at(-1)!.body.trim().split('\n')
  expect(lines.map(line => JSON.parse(line).iter)).toEqual([1, 2, 3])
  await standIn.close()
  await task.scalars(4, 'train', { loss: 1 })
  await task.finish('failed')
  expect(warnings).toHaveLength(3)
  expect(warnings[2]).toMatch(/lacks 1 points/)
})

test('a server that hangs holds training up for a second, not for its timeout at every point', async () => {
  standIn = new StandIn()
  const warnings: string[] = []
  const options = { ...keys, timeout: 2000, onWarning: (m: string) => warnings.push(m) }
  const task = await ClearMLTask.connect({ ...options, host: await standIn.open() })
  standIn.silent.add('events.add_batch')
  const started = performance.now()
  for (let step = 1; step <= 5; step++) {
    await task.scalars(step, 'train', { loss: step })
    // A step of training, long enough for the timeout to come.
    await new Promise(done => setTimeout(done, 500))
  }
  expect(performance.now() - started).toBeLessThan(5 * 500 + 4000)
  expect(standIn.calls.filter(c => c.endpoint === 'events.add_batch')).toHaveLength(1)
  expect(warnings).toHaveLength(1)
  standIn.silent.clear()
  await task.finish('completed')
  expect(standIn.calls.at(-2)!.body.trim().split('\n')).toHaveLength(5)
  expect(warnings).toHaveLength(1)
})

test('logs in again where its token has run out', async () => {
  standIn = new StandIn()
  const task = await ClearMLTask.connect({ ...keys, host: await standIn.open() })
  standIn.failing['events.add_batch'] = 401
  await task.scalars(1, 'train', { loss: 1 })
  const names = standIn.calls.slice(-3).map(c => c.endpoint)
  expect(names).toEqual(['events.add_batch', 'auth.login', 'events.add_batch'])
})

test.each([
  ['auth.login', '{"data":{}}', /no token/],
  ['auth.login', '{"data":null}', /auth\.login.*200/],
  ['auth.login', 'null', /auth\.login.*200/],
  ['auth.login', '<html>a proxy</html>', /200: <html>a proxy/],
  ['projects.create', '{"data":{"id":5}}', /projects\.create.*no id/],
  ['tasks.create', '{"data":{"id":""}}', /tasks\.create.*no id/],
])('an answer of %s that is none (%s) is an error before training', async (endpoint, answer, message) => {
  standIn = new StandIn()
  const host = await standIn.open()
  standIn.instead[endpoint] = answer
  const error = await ClearMLTask.connect({ ...keys, host }).catch(e => e)
  expect(error).toBeInstanceOf(VqDeviceError)
  expect(error.message).toMatch(message)
})

test('says before training what is missing, wrong or not there', async () => {
  standIn = new StandIn()
  const host = await standIn.open()
  await expect(ClearMLTask.connect({ ...keys, host, accessKey: '' })).rejects.toThrow(VqConfigError)
  for (const other of ['nowhere', 'localhost:8008', 'ftp://localhost'])
    await expect(ClearMLTask.connect({ ...keys, host: other })).rejects.toThrow(VqConfigError)
  await expect(ClearMLTask.connect(undefined as never)).rejects.toThrow(VqConfigError)
  standIn.failing['auth.login'] = 401
  const refused = await ClearMLTask.connect({ ...keys, host }).catch(error => error)
  expect([refused instanceof VqDeviceError, /401: refused/.test(refused.message)]).toEqual([true, true])
  await standIn.close()
  await expect(ClearMLTask.connect({ ...keys, host })).rejects.toThrow(/ECONNREFUSED/)
})
