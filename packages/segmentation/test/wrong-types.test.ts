// What JavaScript lets pass where TypeScript would not: each call answers with an error of ours.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { VqConfigError, VqDeviceError, VqError } from '@vq/core'
import * as segmentation from '@vq/segmentation'
import {
  BaselineModule,
  createBackbone,
  createQuantizer,
  DeepLabV3SegmentationBackbone,
  FSQWithProjection,
  ImageMaskDataModule,
  LFQWithProjection,
  loadSegmentation,
  OxfordPetDataModule,
  presetOf,
  ResidualVQWithProjection,
  ResNetSegmentationBackbone,
  SqueezeModule,
  ViTSegmentationBackbone,
  VQWithProjection,
} from '@vq/segmentation'
import { expect, test, vi } from 'vitest'

const classes = {
  ...{ VQWithProjection, ResidualVQWithProjection, FSQWithProjection, LFQWithProjection },
  ...{ ViTSegmentationBackbone, ResNetSegmentationBackbone, DeepLabV3SegmentationBackbone },
  ...{ SqueezeModule, BaselineModule, OxfordPetDataModule, ImageMaskDataModule },
}

test.each(Object.entries(classes))('%s refuses no options, and others than it needs', (_name, made) => {
  const Made = made as new (options: unknown) => unknown
  for (const options of [undefined, null, 'options', 3, [], {}])
    expect(() => new Made(options), String(options)).toThrow(VqConfigError)
})

test('a quantizer is none without the length of its input, a network none of one class', () => {
  expect(() => new VQWithProjection({ codebookSize: 8 } as never)).toThrow(/inputDim/)
  const backbone = createBackbone(presetOf({ model: 'small', numClasses: 1, headWidth: 8 }))
  expect(() => new SqueezeModule({ backbone })).toThrow(/at least two classes/)
  const two = createBackbone(presetOf({ model: 'small', numClasses: 2, headWidth: 8 }))
  expect(() => new SqueezeModule({ backbone: two, quantizer: {} as never })).toThrow(/quantizer/)
  for (const model of [backbone, two]) model.dispose()
})

// Abstract bases and types of data have nothing to check.
const unchecked = ['BaseDataModule', 'SegmentationBackbone']
const callable = Object.entries(segmentation).filter(
  ([name, made]) => typeof made === 'function' && !unchecked.includes(name),
)

test.each(callable)('%s called with nothing at all answers with an error of ours', async (_name, made) => {
  const isClass = /^class /.test(Function.prototype.toString.call(made))
  const call = async (): Promise<unknown> =>
    isClass ? new (made as unknown as new () => unknown)() : (made as unknown as () => unknown)()
  await expect(call()).rejects.toThrow(VqError)
})

test('functions that make parts refuse nothing at all', async () => {
  for (const make of [createBackbone, createQuantizer, presetOf] as ((...words: never[]) => unknown)[])
    expect(() => make()).toThrow(VqConfigError)
  for (const path of [undefined, 3, ''])
    await expect(loadSegmentation(path as string)).rejects.toThrow(VqConfigError)
})

test.each([
  [{ border: 'none' }, /border/],
  [{ damaged: 'no' }, /damaged/],
])('data modules refuse %o when they are made', (options, message) => {
  expect(() => new OxfordPetDataModule({ dataPath: 'x', ...options } as never)).toThrow(message)
})

test.each([
  ['twice', ['a', 'a']],
  ['not at all', ['a', '']],
  ['in one text', 'a,b'],
])('classes are named each once, not %s', (_how, names) => {
  const make = () => new ImageMaskDataModule({ dataPath: 'x', classes: names as never })
  expect(make).toThrow(VqConfigError)
  expect(make).toThrow(/different names/)
})

test('with one of the two archives unpacked a download fetches the other', async () => {
  const dataPath = mkdtempSync(join(tmpdir(), 'vq-half-'))
  mkdirSync(join(dataPath, 'annotations'))
  const asked = vi.spyOn(globalThis, 'fetch').mockImplementation(async () => {
    throw Object.assign(new TypeError('fetch failed'), { cause: { code: 'ENETUNREACH' } })
  })
  try {
    const opened = new OxfordPetDataModule({ dataPath, download: true }).setup()
    await expect(opened).rejects.toThrow(VqDeviceError)
    expect(String(asked.mock.calls[0]![0])).toMatch(/images\.tar\.gz$/)
  } finally {
    asked.mockRestore()
    rmSync(dataPath, { recursive: true })
  }
}, 30_000)
