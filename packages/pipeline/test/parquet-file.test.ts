import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { parquetFile } from '../src/parquet-file.js'

const folder = mkdtempSync(join(tmpdir(), 'vq-parquet-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const path = join(folder, 'x')
writeFileSync(
  path,
  Uint8Array.from({ length: 100 }, (_, i) => i),
)

test('bytes come from where they are asked for, and none from beyond the file', async () => {
  const file = await parquetFile(path)
  expect(file.byteLength).toBe(100)
  expect(new Uint8Array(await file.slice(7, 9))).toEqual(Uint8Array.of(7, 8))
  expect((await file.slice(90)).byteLength).toBe(10)
  expect((await file.slice(95, 2 ** 50)).byteLength).toBe(5)
  expect((await file.slice(2 ** 50, 2 ** 51)).byteLength).toBe(0)
})

test('what fails behind a slice ends no process, and is still told to whoever waits', async () => {
  const unheard: unknown[] = []
  const listener = (error: unknown): number => unheard.push(error)
  process.on('unhandledRejection', listener)
  const file = await parquetFile(path)
  const failing = Promise.resolve(file.slice(0, 4))
    .then(bytes => bytes.slice(0, 2))
    .then(() => {
      throw new Error('a column that nobody waits for')
    })
  await new Promise(resolve => setTimeout(resolve, 20))
  process.off('unhandledRejection', listener)
  expect(unheard).toEqual([])
  await expect(failing).rejects.toThrow('nobody waits')
})
