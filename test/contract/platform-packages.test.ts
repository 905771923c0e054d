import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { expect, test } from 'vitest'
import { floors, tooNew } from '../../native/npm/floors.mjs'
import { remedyFor } from '../../packages/core/src/native.js'

test('what asks for a newer system than a platform package promises is named', () => {
  const line = (version: string, symbol: string): string =>
    `0000000000000000      DF *UND*\t0000000000000000 (${version}) ${symbol}\n`
  expect(
    tooNew(line('GLIBC_2.34', 'dlopen') + line('GLIBC_2.2.5', 'free') + line('GLIBCXX_3.4.9', 'x')),
  ).toEqual([])
  expect(tooNew(line('GLIBC_2.35', 'hypot') + line('GLIBCXX_3.4.30', '_ZNSt4waitE'))).toEqual([
    'hypot (GLIBC_2.35)',
    '_ZNSt4waitE (GLIBCXX_3.4.30)',
  ])
})

test('the README of the platform package and the remedy promise the same system', () => {
  const readme = readFileSync('native/npm/core-linux-x64/README.md', 'utf8')
  expect(/glibc (\d\.\d+) or newer/.exec(readme)?.[1]).toBe(floors.GLIBC)
  expect(remedyFor('linux-x64', '2.31')).toMatch(`glibc ${floors.GLIBC} or newer, here is 2.31`)
  // Nothing to reinstall where there is nothing.
  for (const [platform, glibc] of [['darwin-arm64'], ['win32-x64'], ['linux-arm64', '2.36'], ['linux-x64']]) {
    const remedy = remedyFor(platform as string, glibc)
    expect(remedy).toMatch(/^No addon is published for .*tfjs-backend-cpu.*VQ_NATIVE_PATH/)
    expect(remedy).not.toMatch(/Reinstall/)
  }
})

test('a platform package without what it is for is not published', () => {
  const folder = mkdtempSync(join(tmpdir(), 'vq-platform-'))
  try {
    writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: '@vq/x', main: 'vq.node' }))
    const run = () =>
      spawnSync(process.execPath, [resolve('native/npm/complete.mjs')], { cwd: folder, encoding: 'utf8' })
    const { status, stderr } = run()
    expect([status, stderr]).toEqual([1, expect.stringMatching(/@vq\/x would be published without vq\.node/)])
    writeFileSync(join(folder, 'vq.node'), '')
    expect(run().status).toBe(0)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
  for (const name of ['core-linux-x64', 'core-cuda-linux-x64'])
    expect(JSON.parse(readFileSync(`native/npm/${name}/package.json`, 'utf8')).scripts.prepublishOnly).toBe(
      'node ../complete.mjs',
    )
})
