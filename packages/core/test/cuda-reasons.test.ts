import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DeviceArray, device, doctor, nearest, VqDeviceError } from '@vq/core'
import { afterAll, afterEach, expect, test } from 'vitest'
import {
  answeringLibrary,
  builtLibrary,
  emulatedLibrary,
  folder,
  stubLibrary,
  twoDeviceLibrary,
} from './cuda-library.js'

afterEach(() => {
  delete process.env.VQ_CUDA_PATH
})
afterAll(() => rmSync(folder, { recursive: true }))

const reasonNow = (): string => device.list().find(d => d.name === 'vq-cuda')!.reason!

/** Every way of asking answers with this reason and remedy. */
async function expectReason(reason: RegExp, remedy: RegExp): Promise<void> {
  expect(reasonNow()).toMatch(reason)
  const error = await device.use('cuda').catch(e => e)
  expect(error).toBeInstanceOf(VqDeviceError)
  expect([error.received, error.operation]).toEqual([reasonNow(), "device.use('cuda')"])
  expect(error.remedy).toMatch(remedy)
  const found = doctor().findings.find(f => f.name === 'vq-cuda')!
  expect(found.status).toBe('absent')
  expect(found.value).toContain(reasonNow())
  expect(found.remedy).toMatch(remedy)
  const ones = new Float32Array(4)
  for (const call of [
    () => nearest(ones, ones, { dim: 2, device: 'cuda' }),
    () => DeviceArray.upload(ones),
  ]) {
    expect(call).toThrow(VqDeviceError)
    expect(call).toThrow(reasonNow())
  }
  expect(nearest(ones, ones, { dim: 2 }).indices).toEqual(Int32Array.of(0, 0))
}

test('a path that leads nowhere: the words of the loader, and which variable to set', async () => {
  process.env.VQ_CUDA_PATH = '/nowhere/libvq_cuda.so'
  await expectReason(/\/nowhere\/libvq_cuda\.so: cannot open shared object file/, /VQ_CUDA_PATH/)
})

test('a text file in place of the library', async () => {
  process.env.VQ_CUDA_PATH = join(folder, 'text.so')
  writeFileSync(process.env.VQ_CUDA_PATH, 'not a library, but long enough to be looked at as one\n'.repeat(9))
  await expectReason(/text\.so: invalid ELF header/, /VQ_CUDA_PATH/)
})

test('a library that is not one of VQ', async () => {
  process.env.VQ_CUDA_PATH = stubLibrary('foreign', 'int unrelated(void) { return 1; }')
  await expectReason(/no vq_backend_open in it/, /VQ_CUDA_PATH/)
})

test('a library of another version: both versions are named', async () => {
  process.env.VQ_CUDA_PATH = stubLibrary(
    'newer',
    `const vq_backend* vq_backend_open(uint32_t version) {
  static vq_backend newest;
  newest.version = 7;
  return version == 0 ? &newest : 0;
}`,
  )
  await expectReason(/speaks version 7 of the interface, this addon version 3$/, /same release/)
  process.env.VQ_CUDA_PATH = stubLibrary(
    'mute',
    'const vq_backend* vq_backend_open(uint32_t v) { (void)v; return 0; }',
  )
  await expectReason(/speaks version unknown/, /same release/)
})

test('what the library says of driver and devices is passed on, each with its own remedy', async () => {
  const answers: [string, number, string, RegExp][] = [
    ['no-driver', 20, 'no NVIDIA driver', /Install the NVIDIA driver/],
    ['old-driver', 21, 'the driver supports CUDA 11.4, the library needs 13.0', /Update the NVIDIA driver/],
    ['no-device', 22, 'the NVIDIA driver finds no GPU', /nvidia-smi/],
    ['old-device', 23, 'Tesla K80 is too old', /7\.5/],
    ['broken', 3, 'unspecified launch failure', /restart/],
  ]
  for (const [name, code, text, remedy] of answers) {
    process.env.VQ_CUDA_PATH = answeringLibrary(name, code, text, 9)
    expect(reasonNow()).toBe(text)
    await expectReason(new RegExp(text), remedy)
  }
  process.env.VQ_CUDA_PATH = answeringLibrary('only-old', 0, '', 6)
  await expectReason(/none of the GPUs can be used/, /nvidia-smi/)
})

test('a GPU that cannot be opened leaves the place to the next one, and says why where there is none', async () => {
  const text = 'this build of the library has no code for first of compute capability 8.0'
  process.env.VQ_CUDA_PATH = twoDeviceLibrary('second-works', text, 0)
  expect(device.list().find(d => d.name === 'vq-cuda')).toMatchObject({ gpu: 'second', devices: 2 })
  process.env.VQ_CUDA_PATH = twoDeviceLibrary('none-works', text, 3)
  await expectReason(new RegExp(text), /nvidia-smi/)
})

test('without the variable: the built library, which names what is missing, or that none was built', async () => {
  const info = device.list().find(d => d.name === 'vq-cuda')!
  if (!existsSync(builtLibrary))
    await expectReason(/^this installation has no CUDA library$/, /npm run build/)
  else if (info.reason !== undefined)
    await expectReason(/^no NVIDIA driver$|^the NVIDIA driver |too old/, /driver|GPU|nvidia-smi/)
  else expect(Number(info.computeCapability)).toBeGreaterThanOrEqual(7.5)
})

test('with a device: the list tells of it, tensors still cannot live there, and the error says so', async () => {
  process.env.VQ_CUDA_PATH = emulatedLibrary
  expect(device.list()[1]).toEqual({
    name: 'vq-cuda',
    gpu: 'emulated on the processor, for tests',
    computeCapability: '9.0',
    gpus: ['emulated on the processor, for tests'],
    memory: 2 ** 30,
    devices: 1,
    driver: '13.0',
    runtime: '13.0',
  })
  const error = await device.use('cuda').catch(e => e)
  expect(error).toBeInstanceOf(VqDeviceError)
  expect(error.received).toContain('quantization of typed arrays')
  expect(error.remedy).toContain("device: 'cuda'")
  const found = doctor().findings.find(f => f.name === 'vq-cuda')!
  expect(found.status).toBe('ok')
  expect(found.value).toContain('compute capability 9.0, 1 GiB, CUDA 13.0')
})
