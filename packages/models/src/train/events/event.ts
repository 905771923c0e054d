// tensorflow/core/util/event.proto and framework/summary.proto: numbers of the fields.
import { bytes, double, doubles, fields, float, int, join } from './proto.js'

/** What an event file can show. */
export type Summary =
  | { kind: 'scalar'; tag: string; value: number }
  | { kind: 'histogram'; tag: string; values: Float32Array }
  | { kind: 'image'; tag: string; png: Uint8Array; width: number; height: number }

const [stepField, summaryField] = [2, 5]

function event(wallTime: number, step: number, content: Uint8Array): Uint8Array {
  return join(double(1, wallTime), int(stepField, step), content)
}

/** The first record of every file. */
export function versionEvent(wallTime: number): Uint8Array {
  return event(wallTime, 0, bytes(3, 'brain.Event:2'))
}

/** Says that a run begins at `step`: readers forget what an earlier one wrote from there on. */
export function startEvent(wallTime: number, step: number): Uint8Array {
  const start = 1
  return event(wallTime, step, bytes(7, int(1, start)))
}

export function summaryEvent(wallTime: number, step: number, summaries: readonly Summary[]): Uint8Array {
  return event(wallTime, step, bytes(summaryField, join(...summaries.map(s => bytes(1, contentOf(s))))))
}

/** The step that an event belongs to, and whether it shows something. */
export function readEvent(message: Uint8Array): { step: number; shows: boolean } {
  let [step, shows] = [0, false]
  for (const { field, value } of fields(message)) {
    if (field === stepField && typeof value === 'number') step = value
    if (field === summaryField) shows = true
  }
  return { step, shows }
}

function contentOf(summary: Summary): Uint8Array {
  const tag = bytes(1, summary.tag)
  if (summary.kind === 'scalar') return join(tag, float(2, summary.value))
  if (summary.kind === 'histogram') return join(tag, bytes(5, histogram(summary.values)))
  const rgb = 3
  const { width, height, png } = summary
  return join(tag, bytes(4, join(int(1, height), int(2, width), int(3, rgb), bytes(4, png))))
}

// Bounds rise by a tenth from 1e-12 to 1e20, mirrored: tensorflow/core/lib/histogram/histogram.cc.
const positive: number[] = []
for (let bound = 1e-12; bound < 1e20; bound *= 1.1) positive.push(bound)
const bounds = Float64Array.of(
  -Number.MAX_VALUE,
  ...positive.map(b => -b).reverse(),
  0,
  ...positive,
  Number.MAX_VALUE,
)

function histogram(values: Float32Array): Uint8Array {
  const counts = new Float64Array(bounds.length)
  let [low, high, sum, squares, count] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0, 0, 0]
  for (const value of values) {
    if (!Number.isFinite(value)) continue
    low = Math.min(low, value)
    high = Math.max(high, value)
    sum += value
    squares += value * value
    count++
    counts[bucketOf(value)]++
  }
  const used = [...counts.keys()].filter(i => counts[i] > 0)
  const [from, to] = used.length === 0 ? [0, 1] : [Math.max(0, used[0] - 1), used[used.length - 1] + 1]
  return join(
    ...[low, high, count, sum, squares].map((x, i) => double(i + 1, count === 0 ? 0 : x)),
    doubles(6, bounds.subarray(from, to)),
    doubles(7, counts.subarray(from, to)),
  )
}

// The first bound above the value.
function bucketOf(value: number): number {
  let [low, high] = [0, bounds.length - 1]
  while (low < high) {
    const middle = (low + high) >> 1
    if (bounds[middle] > value) high = middle
    else low = middle + 1
  }
  return low
}
