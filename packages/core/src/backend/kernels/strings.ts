import { type TensorInfo, util } from '@tensorflow/tfjs-core'
import { expectInteger } from '../../check.js'
import { VqShapeError, VqValueError } from '../../errors.js'
import type { Attributes, Inputs, Kernel, KernelTable } from '../kernel.js'
import type { VqCpuBackend } from '../vq-cpu.js'

/**
 * A kernel that moves or compares elements, for strings too: it works on numbers that stand for the distinct strings. Its
 * first `moved` results hold elements of the inputs.
 */
export function overStrings(kernel: Kernel, moved: number = Number.POSITIVE_INFINITY): Kernel {
  return (inputs, attrs, backend) => {
    let strings = false
    for (const key in inputs) strings ||= inputs[key].dtype === 'string'
    return strings ? onNumbers(kernel, inputs, attrs, backend, moved) : kernel(inputs, attrs, backend)
  }
}

function onNumbers(
  kernel: Kernel,
  inputs: Inputs,
  attrs: Attributes,
  backend: VqCpuBackend,
  moved: number,
): TensorInfo | TensorInfo[] {
  const padding =
    typeof attrs.constantValue === 'string' ? util.encodeString(attrs.constantValue) : Buffer.of()
  // Numbers ascend with the strings, byte by byte, so that comparisons hold.
  const all = Object.values(inputs).flatMap(x => (x.dtype === 'string' ? stringsOf(backend, x) : []))
  const keys = [...new Set([padding, ...all].map(keyOf))].sort()
  const numbers = new Map(keys.map((key, i) => [key, i]))
  const numberOf = (bytes: Uint8Array): number => numbers.get(keyOf(bytes)) as number
  const distinct = keys.map(key => Uint8Array.from(Buffer.from(key, 'latin1')))
  const made: TensorInfo[] = []
  const numbered = Object.entries(inputs).map(([key, x]): [string, TensorInfo] => {
    if (x.dtype !== 'string') return [key, x]
    const t = backend.tensor(Int32Array.from(stringsOf(backend, x), numberOf), x.shape, 'int32')
    made.push(t)
    return [key, t]
  })
  const attributes = { ...attrs }
  if ('constantValue' in attrs) attributes.constantValue = numberOf(padding)
  const out = kernel(Object.fromEntries(numbered), attributes, backend)
  for (const t of made) backend.disposeData(t.dataId)
  const named = (x: TensorInfo): TensorInfo => {
    if (x.dtype !== 'int32') return x
    const values = Array.from(backend.integers(x), i => distinct[i])
    backend.disposeData(x.dataId)
    return backend.tensor(values, x.shape, 'string')
  }
  return Array.isArray(out) ? out.map((x, i) => (i < moved ? named(x) : x)) : named(out)
}

const keyOf = (bytes: Uint8Array): string => Buffer.from(bytes ?? []).toString('latin1')

/** The encoded strings of a tensor. */
export function stringsOf(backend: VqCpuBackend, x: TensorInfo): Uint8Array[] {
  const { strings } = backend.data(x.dataId)
  if (strings === undefined)
    throw new VqValueError({
      operation: 'a kernel of strings on vq-cpu',
      expected: 'a tensor of strings',
      received: `a tensor of ${x.dtype}`,
      remedy: 'Make it with tf.tensor(values, shape, "string").',
    })
  return strings
}

function vector(operation: string, x: TensorInfo, rank: number): void {
  if (x.shape.length !== rank)
    throw new VqShapeError({
      operation,
      expected: rank === 0 ? 'a scalar' : 'a vector',
      received: `a tensor of shape [${x.shape}]`,
      remedy: 'Reshape it.',
    })
}

/** Splits a string at each byte that is one of the delimiters; between all bytes where there is none. */
function split(text: Uint8Array, delimiters: Uint8Array, skipEmpty: boolean): Uint8Array[] {
  if (text.length === 0) return []
  if (delimiters.length === 0) return Array.from(text, (_, i) => text.subarray(i, i + 1))
  const tokens: Uint8Array[] = []
  let start = 0
  for (let i = 0; i <= text.length; i++) {
    if (i < text.length && !delimiters.includes(text[i])) continue
    if (!skipEmpty || i > start) tokens.push(text.subarray(start, i))
    start = i + 1
  }
  return tokens
}

function joinBytes(parts: readonly Uint8Array[], separator: Uint8Array): Uint8Array {
  return Uint8Array.from(parts.flatMap((p, i) => (i === 0 ? [...p] : [...separator, ...p])))
}

interface NGramOptions {
  separator: string
  nGramWidths: number[]
  leftPad: string
  rightPad: string
  padWidth: number
  preserveShortSequences: boolean
}

/** The n-grams of one sequence, for each width in turn; padding is never wider than the n-gram less one. */
function nGramsOf(tokens: readonly Uint8Array[], options: NGramOptions): Uint8Array[] {
  const [separator, left, right] = [options.separator, options.leftPad, options.rightPad].map(s =>
    util.encodeString(s),
  )
  const padded = (pad: number): Uint8Array[] => [
    ...new Array<Uint8Array>(pad).fill(left),
    ...tokens,
    ...new Array<Uint8Array>(pad).fill(right),
  ]
  const out: Uint8Array[] = []
  for (const width of options.nGramWidths) {
    const row = padded(Math.min(options.padWidth < 0 ? width - 1 : options.padWidth, width - 1))
    for (let i = 0; i + width <= row.length; i++) out.push(joinBytes(row.slice(i, i + width), separator))
  }
  if (out.length === 0 && options.preserveShortSequences && tokens.length > 0)
    out.push(joinBytes(padded(Math.max(0, options.padWidth)), separator))
  return out
}

function checkSplits(splits: ArrayLike<number>, size: number): void {
  const wrong = (received: string): never => {
    throw new VqValueError({
      operation: 'StringNGrams',
      expected: `splits that begin at 0, ascend and end at the number of tokens (${size})`,
      received,
      remedy: 'Pass the row splits of the ragged tensor whose values the tokens are.',
    })
  }
  if (splits.length === 0) return
  if (splits[0] !== 0) wrong(`First split value must be 0, got ${splits[0]}`)
  for (let i = 1; i < splits.length; i++)
    if (splits[i] < splits[i - 1] || splits[i] > size)
      wrong(`Invalid split value ${splits[i]}, must be in [${splits[i - 1]}, ${size}]`)
  const last = splits[splits.length - 1]
  if (last !== size) wrong(`Last split value must be data size. Expected ${size}, got ${last}`)
}

/** Kernels of strings. */
export const strings: KernelTable = {
  StaticRegexReplace: ({ x }, { pattern, rewrite, replaceGlobal }, backend) => {
    const expression = new RegExp(pattern as string, replaceGlobal === true ? 'g' : '')
    const replaced = stringsOf(backend, x).map(s =>
      util.encodeString(util.decodeString(s).replace(expression, rewrite as string)),
    )
    return backend.tensor(replaced, x.shape, 'string')
  },
  StringNGrams: ({ data, dataSplits }, attrs, backend) => {
    const tokens = stringsOf(backend, data)
    const splits = backend.integers(dataSplits)
    checkSplits(splits, tokens.length)
    // As in TensorFlow, no tokens at all give no n-grams, not even of padding.
    if (tokens.length === 0)
      return [backend.tensor([], [0], 'string'), backend.tensor(splits.slice(), dataSplits.shape, 'int32')]
    const out: Uint8Array[] = []
    const outSplits = new Int32Array(splits.length)
    for (let i = 1; i < splits.length; i++) {
      const row = tokens.slice(splits[i - 1], splits[i])
      for (const nGram of nGramsOf(row, attrs as unknown as NGramOptions)) out.push(nGram)
      outSplits[i] = out.length
    }
    return [backend.tensor(out, [out.length], 'string'), backend.tensor(outSplits, dataSplits.shape, 'int32')]
  },
  StringSplit: ({ input, delimiter }, { skipEmpty }, backend) => {
    vector('StringSplit', input, 1)
    vector('StringSplit, delimiter', delimiter, 0)
    const delimiters = stringsOf(backend, delimiter)[0]
    const rows = stringsOf(backend, input).map(s => split(s, delimiters, skipEmpty === true))
    const indices = rows.flatMap((row, i) => row.flatMap((_, j) => [i, j]))
    const tokens = rows.flat()
    const longest = rows.reduce((most, row) => Math.max(most, row.length), 0)
    return [
      backend.tensor(Int32Array.from(indices), [tokens.length, 2], 'int32'),
      backend.tensor(tokens, [tokens.length], 'string'),
      backend.tensor(Int32Array.of(rows.length, longest), [2], 'int32'),
    ]
  },
  StringToHashBucketFast: ({ input }, { numBuckets }, backend) => {
    expectInteger('StringToHashBucketFast', 'numBuckets', numBuckets, 1)
    const buckets = stringsOf(backend, input).map(s =>
      util.fingerPrint64(s).modulo(numBuckets).getLowBitsUnsigned(),
    )
    return backend.tensor(Int32Array.from(buckets), input.shape, 'int32')
  },
}
