import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { device, doctor, native, tf, VqDeviceError } from '@vq/core'
import { afterEach, expect, test, vi } from 'vitest'

afterEach(() => {
  delete process.env.VQ_NATIVE_PATH
  vi.resetModules()
})

const finding = (name: string, report = doctor()) => report.findings.find(f => f.name === name)

test('the report holds what the native core, the device list and Node themselves say', () => {
  const report = doctor()
  const core = native()
  expect(report.healthy).toBe(true)
  expect(finding('Node')!.value).toContain(process.versions.node)
  expect(finding('native core')!.value).toMatch(/vq\.node$/)
  expect(finding('instruction sets')!.value).toBe(`${core.isaList().join(', ')}; in use: ${core.isa()}`)
  expect(finding('threads')!.value).toBe(`${device.threads} of ${core.maxThreads}`)
  expect(finding('libraries')!.value).toMatch(
    /^oneDNN [23]\.\d+\.\d+, Highway 1\.\d+\.\d+, OpenMP \d{6}, compiler \S+/,
  )
  expect(finding('TensorFlow.js')!.value).toBe(`tfjs-core ${tf.version_core}`)
  expect(finding('in use')!.value).toBe('vq-cpu')
  for (const { name, reason } of device.list()) {
    const found = finding(name)!
    expect([name, found.status === 'ok']).toEqual([name, reason === undefined])
    if (reason !== undefined) expect(found.value).toContain(reason)
  }
})

test('whatever is not ok says what to do, and the text holds every finding', () => {
  const own = { name: 'toaster', status: 'broken' as const, value: 'cold', remedy: 'Plug it in.' }
  const { findings, healthy, text } = doctor([own])
  expect(healthy).toBe(false)
  for (const { name, status, value, remedy } of findings) {
    expect(remedy === undefined).toBe(status === 'ok')
    expect(text).toContain(name)
    expect(text).toContain(value)
    if (remedy !== undefined) expect(text).toContain(`→ ${remedy}`)
  }
})

test('without the addon it says so, names the place, and does not throw', async () => {
  process.env.VQ_NATIVE_PATH = '/nowhere/vq.node'
  vi.resetModules()
  const bare = await import('@vq/core')
  const report = bare.doctor()
  expect(report.healthy).toBe(false)
  const found = finding('native core', report)!
  expect([found.status, found.value.includes('/nowhere/vq.node')]).toEqual(['broken', true])
  expect(found.remedy).toContain('npm run build')
})

test.runIf(process.platform === 'linux')('a truncated addon is named, not loaded', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'vq-doctor-'))
  const path = join(folder, 'vq.node')
  const whole = readFileSync(finding('native core')!.value.replace(/^.* from /, ''))
  try {
    for (const length of [64, 5000, 100_000, whole.length - 1]) {
      writeFileSync(path, whole.subarray(0, length))
      process.env.VQ_NATIVE_PATH = path
      vi.resetModules()
      const report = (await import('@vq/core')).doctor()
      const { status, value } = finding('native core', report)!
      expect([status, value]).toEqual([
        'broken',
        `${path} (the file ends after ${length} of ${whole.length} bytes)`,
      ])
    }
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test('it does not throw where the working directory is gone', () => {
  const cwd = vi.spyOn(process, 'cwd').mockImplementation(() => {
    throw new Error('ENOENT: no such file or directory, uv_cwd')
  })
  try {
    expect(finding('TensorFlow.js')!.status).toBe('ok')
  } finally {
    cwd.mockRestore()
  }
})

test('every device error points to it', async () => {
  const error = new VqDeviceError({ operation: 'a', expected: 'b', received: 'c', remedy: 'Do d.' })
  expect(error.message).toBe(
    'a: expected b, received c. Do d. doctor() of @vq/core tells what this machine has.',
  )
  await expect(device.use('cuda')).rejects.toThrow('doctor() of @vq/core')
})

test('a second copy of tfjs-core is found, from the folder that the program runs in', () => {
  const code =
    "import('@vq/core').then(({ doctor }) => console.log(JSON.stringify(doctor().findings.find(f => f.name === 'TensorFlow.js'))))"
  // A folder whose own node_modules hold another copy.
  const script = `
set -e; d=$(mktemp -d); mkdir -p $d/node_modules/@tensorflow; cp -rL node_modules/@tensorflow/tfjs-core $d/node_modules/@tensorflow/
mkdir -p $d/node_modules/@vq; ln -s $PWD/packages/core $d/node_modules/@vq/core; cd $d; node --no-warnings -e "${code}"; rm -rf $d`
  const found = JSON.parse(execFileSync('bash', ['-c', script], { encoding: 'utf8' }))
  expect(found.status).toBe('broken')
  expect(found.value).toMatch(/^two copies of tfjs-core: .*tfjs-core.* and .*tfjs-core/)
  expect(found.remedy).toContain('npm dedupe')
})
