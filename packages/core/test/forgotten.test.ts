import { constants, PerformanceObserver } from 'node:perf_hooks'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { device, tf } from '@vq/core'
import { beforeAll, expect, test } from 'vitest'

setFlagsFromString('--expose-gc')
const gc = runInNewContext('gc') as () => void

async function collect(): Promise<void> {
  for (let i = 0; i < 3; i++) {
    gc()
    await new Promise(resolve => setTimeout(resolve, 10))
  }
}

function bytesInUse(): number {
  return device.memory().native?.bytesInUse ?? Number.NaN
}

beforeAll(() => expect(tf.getBackend()).toBe('vq-cpu'))

test('forgotten tensors are freed by garbage collection, and the counts follow', async () => {
  const base = tf.ones([256, 1024])
  const before = bytesInUse()
  let most = 0
  for (let i = 0; i < 1200; i++) {
    const sum = tf.add(base, i)
    tf.reshape(sum, [-1])
    if (i % 10 === 0) await new Promise(setImmediate)
    if (i % 300 === 299) await collect()
    most = Math.max(most, bytesInUse() - before)
  }
  await collect()
  // Up to 32 MB of the newest are not watched yet.
  expect(bytesInUse() - before).toBeLessThanOrEqual(40 << 20)
  expect(most).toBeLessThan(1200 << 19)
  const { tensors, bytes, native } = device.memory()
  expect(tensors).toBeLessThanOrEqual(2 * 40 + 2)
  expect(bytes).toBeLessThanOrEqual(2 * (42 << 20))
  expect(native?.buffers).toBeLessThanOrEqual(42)
  expect(Array.from(tf.slice(base, [255, 1020]).dataSync())).toEqual([1, 1, 1, 1])
  base.dispose()
})

test('what is kept, aliased or disposed of stays right while others are collected', async () => {
  const kept = Array.from({ length: 50 }, (_, i) => tf.fill([64, 1024], i))
  const views = kept.map(t => tf.reshape(t, [-1]))
  for (let i = 0; i < 1100; i++) tf.ones([10])
  for (let i = 0; i < 300; i++) tf.ones([256, 1024]).dispose()
  kept.slice(0, 25).map(t => t.dispose())
  for (let i = 0; i < 1100; i++) tf.ones([10])
  await collect()
  for (let i = 0; i < 200; i++) tf.fill([64, 1024], -1)
  for (const [i, view] of views.entries()) {
    const [first, last] = [tf.slice(view, 0, 1).dataSync()[0], tf.slice(view, 64 * 1024 - 1, 1).dataSync()[0]]
    expect([first, last]).toEqual([i, i])
    view.dispose()
  }
})

test('a forgotten complex tensor is counted once, and frees both its parts', async () => {
  await collect()
  const [re, im] = [tf.ones([256, 1024]), tf.zeros([256, 1024])]
  for (let i = 0; i < 1100; i++) tf.ones([10]).dispose()
  await collect()
  const before = device.memory()
  for (let i = 0; i < 200; i++) {
    tf.complex(re, im)
    if (i % 10 === 0) await new Promise(setImmediate)
  }
  // What came last is watched once the list of new ones is full.
  for (let i = 0; i < 1100; i++) tf.ones([10]).dispose()
  await collect()
  const after = device.memory()
  expect(after.tensors).toBe(before.tensors)
  expect(after.bytes).toBe(before.bytes)
  expect(after.native?.buffers).toBe(before.native?.buffers)
  expect(Array.from(tf.slice(re, [0, 0], [1, 2]).dataSync())).toEqual([1, 1])
  tf.dispose([re, im])
})

test('forgotten strings are counted down', async () => {
  await collect()
  const before = tf.memory().numTensors
  for (let i = 0; i < 2100; i++) tf.tensor1d([`string ${i}`])
  for (let i = 0; i < 1100; i++) tf.ones([2]).dispose()
  await collect()
  expect(tf.memory().numTensors).toBeLessThanOrEqual(before + 2)
})

test('forgotten tensors are collected without being asked, also after more was in use', async () => {
  const many = Array.from({ length: 100 }, () => tf.ones([1024, 1024]))
  tf.dispose(many)
  const before = bytesInUse()
  let most = 0
  for (let i = 0; i < 1000; i++) {
    tf.ones([512, 1024])
    if (i % 5 === 0) await new Promise(setImmediate)
    most = Math.max(most, bytesInUse() - before)
  }
  // 2 GB were forgotten.
  expect(most).toBeLessThan(700 << 20)
})

test('tensors that come and go with every step do not set off the garbage collector', async () => {
  const base = tf.ones([1024, 1024])
  const step = (): void => tf.dispose(Array.from({ length: 128 }, () => tf.add(base, base)))
  step()
  await collect()
  let major = 0
  const observer = new PerformanceObserver(list => {
    for (const { detail } of list.getEntries() as unknown as { detail: { kind: number } }[])
      if (detail.kind === constants.NODE_PERFORMANCE_GC_MAJOR) major++
  })
  observer.observe({ entryTypes: ['gc'] })
  // Long steps: what goes down between them must not count as growth when it comes back.
  for (let i = 0; i < 3; i++) {
    await new Promise(resolve => setTimeout(resolve, 1100))
    step()
    step()
  }
  await new Promise(setImmediate)
  observer.disconnect()
  base.dispose()
  expect(major).toBeLessThan(2)
})
