import { VqFormatError } from '@vq/core'
import { arraysOf, loadPickle, type StoredArray, type StoredTensor } from '@vq/core/io'
import { type Dataset, expectIndices } from '../dataset.js'

/** Both parts of a pickle of images; captions where it has texts. */
export interface PickledImages {
  train: Dataset
  test: Dataset
}

/**
 * Images that Python pickled, in the two forms of Berkeley's course on deep unsupervised learning: a dictionary `{ train, test }` of
 * arrays (`mnist_colored.pkl`), or `(train images, test images, train texts, test texts)` (`colored_mnist_with_text.pkl`). Arrays are
 * [N, H, W], [N, H, W, 1] or [N, H, W, 3], bytes or floats; a byte is a share of the largest that the pixels' bits have room for: of 3
 * where none is larger (two bits, as the course has them), of 255 else; floats are taken as they are and must lie in 0 to 1.
 * Nothing in the file is executed. Throws VqFormatError for other contents, naming them, and for damaged files.
 */
export async function pickledImages(path: string): Promise<PickledImages> {
  const value = await loadPickle(path)
  const { images, texts } = partsOf(value, path)
  const arrays = images.map((part, i) => arrayOf(part, path, names[i] as string))
  const scale = scaleOf(arrays, path)
  const [train, test] = arrays.map((array, i) => {
    const captions =
      texts === undefined ? undefined : textsOf(texts[i], array.shape[0], path, names[i] as string)
    return dataset(array, scale, captions)
  }) as [Dataset, Dataset]
  if (String(train.shape) !== String(test.shape))
    throw flaw(path, 'images of one shape', `[${train.shape}] and [${test.shape}]`)
  return { train, test }
}

const names = ['train', 'test']

interface Pixels {
  data: Exclude<StoredArray, BigInt64Array | BigUint64Array>
  /** [N, H, W, C] */
  shape: readonly [number, number, number, number]
}

function partsOf(value: unknown, path: string): { images: unknown[]; texts?: unknown[] } {
  if (Array.isArray(value) && value.length === 4) return { images: value.slice(0, 2), texts: value.slice(2) }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    const named = value as Record<string, unknown>
    if ('train' in named && 'test' in named) return { images: [named.train, named.test] }
  }
  throw flaw(
    path,
    'a dictionary { train, test }, or (train images, test images, train texts, test texts)',
    kindOf(value),
  )
}

function kindOf(value: unknown): string {
  if (Array.isArray(value)) return `a list or tuple of ${value.length}`
  if (typeof value !== 'object' || value === null) return String(value).slice(0, 80)
  if ('dtype' in value) return 'an array'
  return `a dictionary of ${Object.keys(value).join(', ').slice(0, 80)}`
}

function arrayOf(value: unknown, path: string, name: string): Pixels {
  const { dtype, shape = [], data } = (value ?? {}) as Partial<StoredTensor>
  const [n = 0, h = 0, w = 0, c = 1] = shape
  const usable =
    (dtype === 'U8' || dtype === 'F32' || dtype === 'F64') &&
    (shape.length === 3 || shape.length === 4) &&
    n * h * w > 0 &&
    (c === 1 || c === 3) &&
    data instanceof arraysOf[dtype]
  if (!usable)
    throw flaw(
      path,
      `${name} images as an array of bytes or floats [N, H, W, 1 or 3]`,
      dtype === undefined ? kindOf(value) : `${dtype} [${shape.join(', ')}]`,
    )
  return { data: data as Pixels['data'], shape: [n, h, w, c] }
}

// What one is divided by to lie in 0 to 1.
function scaleOf(arrays: readonly Pixels[], path: string): number {
  let [least, most] = [0, 0]
  for (const { data } of arrays)
    for (let i = 0; i < data.length; i++) {
      const v = data[i] as number
      if (!Number.isFinite(v)) throw flaw(path, 'finite pixels', String(v))
      if (v > most) most = v
      if (v < least) least = v
    }
  const bytes = arrays.every(({ data }) => data instanceof Uint8Array)
  if (bytes) return most <= 3 ? 3 : 255
  if (least < 0 || most > 1) throw flaw(path, 'floats from 0 to 1', `${least} to ${most}`)
  return 1
}

function textsOf(value: unknown, count: number, path: string, name: string): readonly string[] {
  const texts = Array.isArray(value) ? value : []
  if (texts.length !== count || !texts.every(text => typeof text === 'string'))
    throw flaw(
      path,
      `${count} ${name} texts`,
      Array.isArray(value) ? `${texts.length} values` : kindOf(value),
    )
  return texts
}

function dataset(
  { data, shape: [length, ...shape] }: Pixels,
  scale: number,
  captions?: readonly string[],
): Dataset {
  const size = shape[0] * shape[1] * shape[2]
  return {
    length,
    shape,
    ...(captions && { captions }),
    batch: indices => {
      expectIndices('pickledImages.batch', { length }, indices)
      const out = new Float32Array(indices.length * size)
      for (let n = 0; n < indices.length; n++) {
        const from = (indices[n] as number) * size
        for (let i = 0; i < size; i++) out[n * size + i] = (data[from + i] as number) / scale
      }
      return out
    },
  }
}

function flaw(path: string, expected: string, received: string): VqFormatError {
  return new VqFormatError({
    operation: `reading ${path}`,
    expected,
    received,
    remedy: "Pass a pickle of the course's layout, or images as files.",
  })
}
