import type { ContractCheck } from '@vq/core/testing'
import { describe, it } from 'vitest'
import { onBackends } from './backends.js'

/** Runs the checks of a contract on each backend. */
export function onEachBackend(name: string, checks: ContractCheck[]): void {
  onBackends(() => describe(name, () => runChecks(checks)))
}

export function runChecks(checks: ContractCheck[]): void {
  for (const check of checks) it(check.name, check.run)
}
