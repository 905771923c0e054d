// What the environment says about Hugging Face's hub, under the names that its Python library gave these variables.
import { readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'

export interface HubOptions {
  /** Folder of the hub's cache. Default: HF_HUB_CACHE, else `hub` in HF_HOME, else ~/.cache/huggingface/hub. */
  cacheDir?: string
  /** Branch, tag or commit. Default 'main'. */
  revision?: string
  /** Whether nothing may be downloaded. Default: whether HF_HUB_OFFLINE is set to 1, true, yes or on. */
  offline?: boolean
  /** Of a hub account, for models that ask for one. Default: HF_TOKEN, else the file `token` in HF_HOME. */
  token?: string
}

export interface HubSettings {
  cacheDir: string
  revision: string
  offline: boolean
  token: string | undefined
  /** Address of the hub: HF_ENDPOINT, else https://huggingface.co. */
  endpoint: string
}

export function hubSettings(options: HubOptions): HubSettings {
  const { env } = process
  const home = env.HF_HOME || join(env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'huggingface')
  const on = (value: string | undefined): boolean => /^(1|true|yes|on)$/i.test(value ?? '')
  return {
    cacheDir: options.cacheDir ?? (env.HF_HUB_CACHE || env.HUGGINGFACE_HUB_CACHE || join(home, 'hub')),
    revision: options.revision ?? 'main',
    offline: options.offline ?? (on(env.HF_HUB_OFFLINE) || on(env.TRANSFORMERS_OFFLINE)),
    token: options.token ?? (env.HF_TOKEN || env.HUGGING_FACE_HUB_TOKEN || storedToken(home)),
    endpoint: (env.HF_ENDPOINT || 'https://huggingface.co').replace(/\/+$/, ''),
  }
}

function storedToken(home: string): string | undefined {
  try {
    return readFileSync(process.env.HF_TOKEN_PATH || join(home, 'token'), 'utf8').trim() || undefined
  } catch {
    return undefined
  }
}
