import { device, native, tf, VqConfigError, VqDeviceError } from '@vq/core'
import { afterEach, expect, test } from 'vitest'

afterEach(async () => {
  device.threads = native().maxThreads
  await device.use('cpu')
})

test('the list has vq-cpu with its instruction set and threads, and tells of the GPU or why there is none', () => {
  const [cpu, cuda, tensorflow] = device.list()
  expect(cpu).toEqual({ name: 'vq-cpu', isa: native().isaList().at(-1), threads: native().maxThreads })
  expect(cuda.name).toBe('vq-cuda')
  expect(cuda.reason === undefined).toBe(cuda.gpu !== undefined)
  expect(tensorflow.name).toBe('tensorflow')
})

test('cpu and auto choose vq-cpu; cuda answers with the reason', async () => {
  expect(await device.use('cpu')).toBe('vq-cpu')
  expect(await device.use('auto')).toBe('vq-cpu')
  expect(tf.getBackend()).toBe('vq-cpu')
  await expect(device.use('cuda')).rejects.toThrow(VqDeviceError)
  const { reason = 'typed arrays' } = device.list()[1]
  await expect(device.use('cuda')).rejects.toThrow(reason)
  expect(tf.getBackend()).toBe('vq-cpu')
  await expect(device.use('tpu' as never)).rejects.toThrow(VqConfigError)
})

test('tensorflow says what to install where it is absent', async () => {
  await expect(device.use('tensorflow')).rejects.toThrow(
    /tfjs-node-gpu: not installed; .*tfjs-node: not installed.*Install @tensorflow\/tfjs-node 4.22/,
  )
  expect(tf.getBackend()).toBe('vq-cpu')
})

test('the thread count is checked and kept', () => {
  device.threads = 1
  expect([device.threads, device.list()[0].threads]).toEqual([1, 1])
  for (const wrong of [0, 1.5, Number.NaN, 5000])
    expect(() => {
      device.threads = wrong
    }).toThrow(VqConfigError)
  expect(device.threads).toBe(1)
})

test('memory counts tensors and the native bytes behind them', () => {
  const before = device.memory()
  const x = tf.zeros([1000])
  const after = device.memory()
  expect(after.backend).toBe('vq-cpu')
  expect(after.tensors - before.tensors).toBe(1)
  expect(after.bytes - before.bytes).toBe(4000)
  expect(after.native!.bytesInUse - before.native!.bytesInUse).toBeGreaterThanOrEqual(4000)
  x.dispose()
})
