// ClearML's HTTP interface: https://clear.ml/docs/latest/docs/references/api/
import { VqConfigError, VqDeviceError } from '@vq/core'

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

/**
 * A task on a ClearML server. `connect` is where a missing server, wrong keys and refusals throw, before anything is trained;
 * later failures only keep the metrics back and try again with the next ones.
 */
export class ClearMLTask {
  readonly id: string
  private readonly server: Server
  private readonly warn: (message: string) => void
  private waiting: Scalar[] = []
  private warned = false

  private constructor(id: string, server: Server, warn: (message: string) => void) {
    this.id = id
    this.server = server
    this.warn = warn
  }

  /** Logs in, finds or makes the project, and starts a task in it. Throws VqConfigError, VqDeviceError. */
  static async connect(options: ClearMLOptions): Promise<ClearMLTask> {
    const { env } = process
    const { host = env.CLEARML_API_HOST, accessKey = env.CLEARML_API_ACCESS_KEY } = options
    const { secretKey = env.CLEARML_API_SECRET_KEY, timeout = 10_000, project, task } = options
    const given = {
      CLEARML_API_HOST: host,
      CLEARML_API_ACCESS_KEY: accessKey,
      CLEARML_API_SECRET_KEY: secretKey,
    }
    const missing = Object.entries(given).filter(([, value]) => !value)
    if (missing.length > 0 || !URL.canParse(host ?? ''))
      throw new VqConfigError({
        operation: '--use-clearml',
        expected: 'the address of a ClearML API server and its keys in the environment',
        received:
          missing.length > 0 ? `no ${missing.map(([name]) => name).join(', ')}` : `the address ${host}`,
        remedy:
          'Set them as the web interface shows under "Create new credentials", or leave --use-clearml out.',
      })
    const server = new Server(host as string, timeout)
    const login = Buffer.from(`${accessKey}:${secretKey}`).toString('base64')
    const { token } = await server.call<{ token: string }>('auth.login', {}, `Basic ${login}`)
    server.token = token
    const projectId = await server.project(project)
    const { id } = await server.call<{ id: string }>('tasks.create', {
      ...{ name: task, project: projectId, type: 'training' },
      hyperparams: { Args: argumentsOf(options.parameters ?? {}) },
    })
    await server.call('tasks.started', { task: id })
    return new ClearMLTask(id, server, options.onWarning ?? (m => process.stderr.write(`${m}\n`)))
  }

  /** Points on the curves of `metric`, one per name. Never throws. */
  async scalars(iteration: number, metric: string, values: Readonly<Record<string, number>>): Promise<void> {
    const timestamp = Date.now()
    for (const [variant, value] of Object.entries(values))
      if (Number.isFinite(value)) this.waiting.push({ iteration, metric, variant, value, timestamp })
    if (this.waiting.length > mostKept) this.waiting.splice(0, this.waiting.length - mostKept)
    await this.flush()
  }

  /** Ends the task. Never throws. */
  async finish(status: 'completed' | 'stopped' | 'failed', reason = ''): Promise<void> {
    await this.flush()
    await this.server
      .call(`tasks.${status}`, { task: this.id, status_reason: reason })
      .catch((error: Error) => this.complain(error))
  }

  private async flush(): Promise<void> {
    while (this.waiting.length > 0) {
      const part = this.waiting.slice(0, largestBatch)
      const lines = part.map(({ iteration, ...rest }) =>
        JSON.stringify({ type: 'training_stats_scalar', task: this.id, iter: iteration, ...rest }),
      )
      try {
        await this.server.send('events.add_batch', `${lines.join('\n')}\n`, 'application/x-jsonlines')
      } catch (error) {
        this.complain(error as Error)
        return
      }
      this.waiting.splice(0, part.length)
      this.warned = false
    }
  }

  private complain(error: Error): void {
    if (!this.warned) this.warn(`ClearML does not take metrics (${error.message}); training goes on.`)
    this.warned = true
  }
}

class Server {
  token: string | undefined
  private readonly host: string
  private readonly timeout: number

  constructor(host: string, timeout: number) {
    this.host = host.replace(/\/$/, '')
    this.timeout = timeout
  }

  async project(name: string): Promise<string> {
    const escaped = name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
    const { projects = [] } = await this.call<{ projects?: { id: string; name: string }[] }>(
      'projects.get_all',
      { name: `^${escaped}$`, only_fields: ['id', 'name'] },
    )
    const [found] = projects.filter(p => p.name === name)
    return found?.id ?? (await this.call<{ id: string }>('projects.create', { name, description: '' })).id
  }

  call<T = unknown>(endpoint: string, body: object, login?: string): Promise<T> {
    return this.send<T>(endpoint, JSON.stringify(body), 'application/json', login)
  }

  async send<T>(endpoint: string, body: string, type: string, login?: string): Promise<T> {
    const failed = (received: string, cause?: unknown): VqDeviceError =>
      new VqDeviceError({
        operation: `ClearML ${endpoint} at ${this.host}`,
        expected: 'an answer of the API server',
        received,
        remedy: 'Check address, keys and network, or leave --use-clearml out.',
        cause,
      })
    let response: Response
    let text: string
    try {
      response = await fetch(`${this.host}/${endpoint}`, {
        method: 'POST',
        headers: { 'content-type': type, authorization: login ?? `Bearer ${this.token}` },
        body,
        signal: AbortSignal.timeout(this.timeout),
      })
      text = await response.text()
    } catch (cause) {
      const { message, cause: inner } = cause as Error & { cause?: { code?: string } }
      throw failed(inner?.code ?? message, cause)
    }
    let answer: { meta?: { result_code?: number; result_msg?: string }; data?: T } | undefined
    try {
      answer = JSON.parse(text)
    } catch {
      // Said below.
    }
    if (response.ok && answer?.data !== undefined) return answer.data
    throw failed(`${response.status}: ${answer?.meta?.result_msg ?? text.slice(0, 100)}`)
  }
}

function argumentsOf(parameters: Readonly<Record<string, unknown>>): Record<string, object> {
  return Object.fromEntries(
    Object.entries(parameters)
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => [name, { section: 'Args', name, value: String(value) }]),
  )
}
