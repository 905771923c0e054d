// ClearML's HTTP interface: https://clear.ml/docs/latest/docs/references/api/
import { setTimeout as pause } from 'node:timers/promises'
import { expectConfig, VqConfigError, VqDeviceError } from '@vq/core'
import { expectOptions } from '@vq/core/nn'

export interface ClearMLOptions {
  project: string
  task: string
  /** Address of the API server. Default: CLEARML_API_HOST. */
  host?: string | undefined
  /** Default: CLEARML_API_ACCESS_KEY and CLEARML_API_SECRET_KEY. */
  accessKey?: string | undefined
  secretKey?: string | undefined
  /** Shown with the task as its hyperparameters. */
  parameters?: Readonly<Record<string, unknown>>
  /** Milliseconds until a call is given up. Default 10,000. */
  timeout?: number
  /** Milliseconds after a failure before the server is tried again. Default 30,000. */
  retryAfter?: number
  /** Told, once, when the server stops taking metrics. Default: a line on standard error. */
  onWarning?: (message: string) => void
}

interface Scalar {
  iteration: number
  metric: string
  variant: string
  value: number
  timestamp: number
}

const largestBatch = 500
const mostKept = 100_000
/** Milliseconds that training waits for a server that is slow. */
const longestWait = 1000

/**
 * A task on a ClearML server. `connect` is where a missing server, wrong keys and refusals throw, before anything is trained;
 * later failures only keep the metrics back until the server is tried again.
 */
export class ClearMLTask {
  readonly id: string
  private readonly server: Server
  private readonly warn: (message: string) => void
  private readonly retryAfter: number
  private waiting: Scalar[] = []
  private warned = false
  private sending: Promise<void> | undefined
  private restUntil = 0

  private constructor(id: string, server: Server, options: ClearMLOptions) {
    expectConfig(
      typeof options === 'object' && options !== null,
      'ClearMLTask',
      'to be made by connect',
      options,
      'await ClearMLTask.connect({ project, task }).',
    )
    const { onWarning, retryAfter = 30_000 } = options
    this.id = id
    this.server = server
    this.warn = onWarning ?? (message => process.stderr.write(`${message}\n`))
    this.retryAfter = retryAfter
  }

  /** Logs in, finds or makes the project, and starts a task in it. Throws VqConfigError, VqDeviceError. */
  static async connect(options: ClearMLOptions): Promise<ClearMLTask> {
    expectOptions('ClearMLTask.connect', options, '{ project, task }')
    const { env } = process
    const { host = env.CLEARML_API_HOST, accessKey = env.CLEARML_API_ACCESS_KEY } = options
    const { secretKey = env.CLEARML_API_SECRET_KEY, timeout = 10_000, project, task } = options
    const needed = {
      CLEARML_API_HOST: host,
      CLEARML_API_ACCESS_KEY: accessKey,
      CLEARML_API_SECRET_KEY: secretKey,
    }
    const missing = Object.entries(needed).filter(([, value]) => !value)
    if (missing.length > 0 || !/^https?:\/\//.test(host ?? '') || !URL.canParse(host ?? ''))
      throw new VqConfigError({
        operation: '--use-clearml',
        expected: 'the address of a ClearML API server and its keys in the environment',
        received:
          missing.length > 0 ? `no ${missing.map(([name]) => name).join(', ')}` : `the address ${host}`,
        remedy:
          'Set them as the web interface shows under "Create new credentials", or leave --use-clearml out.',
      })
    const server = new Server(host as string, `${accessKey}:${secretKey}`, timeout)
    await server.login()
    const projectId = await server.project(project)
    const id = await server.text('tasks.create', 'id', {
      ...{ name: task, project: projectId, type: 'training' },
      hyperparams: { Args: argumentsOf(options.parameters ?? {}) },
    })
    await server.call('tasks.started', { task: id })
    return new ClearMLTask(id, server, options)
  }

  /** Points on the curves of `metric`, one per name. Never throws; waits no longer than a second for the server. */
  async scalars(iteration: number, metric: string, values: Readonly<Record<string, number>>): Promise<void> {
    const timestamp = Date.now()
    for (const [variant, value] of Object.entries(values))
      if (Number.isFinite(value)) this.waiting.push({ iteration, metric, variant, value, timestamp })
    if (this.waiting.length > mostKept) this.waiting.splice(0, this.waiting.length - mostKept)
    if (performance.now() < this.restUntil) return
    this.sending ??= this.flush()
    await Promise.race([this.sending, pause(longestWait, undefined, { ref: false })])
  }

  /** Sends what is left and ends the task. Never throws. */
  async finish(status: 'completed' | 'stopped' | 'failed', reason = ''): Promise<void> {
    await this.sending
    await this.flush()
    await this.server
      .call(`tasks.${status}`, { task: this.id, status_reason: reason })
      .catch((error: Error) => this.complain(error))
    const { length } = this.waiting
    if (length > 0) this.warn(`ClearML lacks ${length} points of this run; metrics.jsonl has all.`)
  }

  private async flush(): Promise<void> {
    try {
      while (this.waiting.length > 0) {
        const part = this.waiting.slice(0, largestBatch)
        const lines = part.map(({ iteration, ...rest }) =>
          JSON.stringify({ type: 'training_stats_scalar', task: this.id, iter: iteration, ...rest }),
        )
        // The one type that the server takes for more than one event.
        await this.server.send('events.add_batch', `${lines.join('\n')}\n`, 'application/json-lines')
        const sent = new Set(part)
        this.waiting = this.waiting.filter(point => !sent.has(point))
        this.warned = false
      }
    } catch (error) {
      this.complain(error as Error)
      this.restUntil = performance.now() + this.retryAfter
    } finally {
      this.sending = undefined
    }
  }

  private complain(error: Error): void {
    if (!this.warned) this.warn(`ClearML does not take metrics (${error.message}); training goes on.`)
    this.warned = true
  }
}

class Server {
  private token = ''
  private readonly host: string
  private readonly keys: string
  private readonly timeout: number

  constructor(host: string, keys: string, timeout: number) {
    this.host = host.replace(/\/+$/, '')
    this.keys = `Basic ${Buffer.from(keys).toString('base64')}`
    this.timeout = timeout
  }

  async login(): Promise<void> {
    this.token = await this.text('auth.login', 'token', {}, this.keys)
  }

  async project(name: string): Promise<string> {
    const escaped = name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
    const { projects } = await this.call('projects.get_all', {
      name: `^${escaped}$`,
      only_fields: ['id', 'name'],
    })
    const found = Array.isArray(projects) ? projects.find(p => p?.name === name)?.id : undefined
    return typeof found === 'string' ? found : this.text('projects.create', 'id', { name, description: '' })
  }

  /** A text of the answer, by its name. */
  async text(endpoint: string, name: string, body: object, login?: string): Promise<string> {
    const value = (await this.call(endpoint, body, login))[name]
    if (typeof value === 'string' && value !== '') return value
    throw this.failed(endpoint, `no ${name}`)
  }

  call(endpoint: string, body: object, login?: string): Promise<Record<string, unknown>> {
    return this.send(endpoint, JSON.stringify(body), 'application/json', login)
  }

  async send(endpoint: string, body: string, type: string, login?: string): Promise<Record<string, unknown>> {
    let { status, text } = await this.post(endpoint, body, type, login)
    // Tokens run out.
    if (status === 401 && login === undefined) {
      await this.login()
      ;({ status, text } = await this.post(endpoint, body, type))
    }
    let answer: { meta?: { result_msg?: string }; data?: Record<string, unknown> } | null | undefined
    try {
      answer = JSON.parse(text)
    } catch {
      // Said below.
    }
    const data = answer?.data
    if (status >= 200 && status < 300 && typeof data === 'object' && data !== null) return data
    throw this.failed(endpoint, `${status}: ${answer?.meta?.result_msg ?? text.slice(0, 100)}`)
  }

  private async post(
    endpoint: string,
    body: string,
    type: string,
    authorization = `Bearer ${this.token}`,
  ): Promise<{ status: number; text: string }> {
    try {
      const response = await fetch(`${this.host}/${endpoint}`, {
        method: 'POST',
        headers: { 'content-type': type, authorization },
        body,
        signal: AbortSignal.timeout(this.timeout),
      })
      return { status: response.status, text: await response.text() }
    } catch (cause) {
      const { message, cause: inner } = cause as Error & { cause?: { code?: string } }
      throw this.failed(endpoint, inner?.code ?? message, cause)
    }
  }

  private failed(endpoint: string, received: string, cause?: unknown): VqDeviceError {
    return new VqDeviceError({
      operation: `ClearML ${endpoint} at ${this.host}`,
      expected: 'an answer of the API server',
      received,
      remedy: 'Check address, keys and network, or leave --use-clearml out.',
      cause,
    })
  }
}

function argumentsOf(parameters: Readonly<Record<string, unknown>>): Record<string, object> {
  return Object.fromEntries(
    Object.entries(parameters)
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => [name, { section: 'Args', name, value: String(value) }]),
  )
}
