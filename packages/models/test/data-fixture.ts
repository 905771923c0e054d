import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ContractCheck, DatasetContractOptions } from '@vq/core/testing'
import { datasetContract } from '@vq/core/testing'
import { afterAll, describe, it } from 'vitest'

/** A folder that is removed after the file's tests. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'vq-data-'))
  afterAll(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** The promises of every data set, as tests. */
export function keepsContract(name: string, options: DatasetContractOptions): void {
  const checks: ContractCheck[] = datasetContract(options)
  describe(`${name}, as every data set,`, () => {
    for (const { name: promise, run } of checks) it(promise, run)
  })
}

/** Real files beside the repository; tests that want them are skipped where they are absent. */
export const realData: string = new URL('../../../../shared/data/', import.meta.url).pathname

export const upTo = (n: number): Int32Array => Int32Array.from({ length: n }, (_, i) => i)
