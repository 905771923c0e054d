import assert from 'node:assert/strict'
import { VqError } from '../errors.js'
import type { ContractCheck } from './contract.js'

type Values = Float32Array | Int32Array
type Fields = Record<string, { values: Values; shape: readonly number[] }>

/** What the checks need of a data set; `Dataset` and `BaseDataset` of `@vq/models/data` have it. */
export interface DatasetLike {
  readonly length: number
  /** Of one sample. */
  readonly shape: readonly number[]
  readonly dtype?: 'float32' | 'int32'
  batch(indices: Int32Array): Values | Promise<Values>
  extras?(indices: Int32Array): Fields | Promise<Fields>
  readonly ids?: readonly string[]
  readonly captions?: readonly string[]
  readonly labels?: readonly string[]
}

export interface DatasetContractOptions {
  /** Gives the data set; each call must give one with the same samples. */
  make: () => DatasetLike | Promise<DatasetLike>
  /** Range that all values lie in, such as [0, 1] for images. Default: any finite number. */
  range?: readonly [number, number]
}

/** What every data set promises: samples by number, the same whenever and however they are asked for. */
export function datasetContract({ make, range }: DatasetContractOptions): ContractCheck[] {
  const check = (name: string, test: (d: DatasetLike) => Promise<void>): ContractCheck => ({
    name,
    run: async () => test(await make()),
  })
  const sizeOf = (d: DatasetLike): number => d.shape.reduce((a, b) => a * b, 1)
  // The first samples and the last.
  const some = (d: DatasetLike): Int32Array => {
    const n = Math.min(d.length, 5)
    return Int32Array.from({ length: n }, (_, i) => (i === n - 1 ? d.length - 1 : i))
  }
  return [
    check('has whole numbers for length and shape, and names for every sample or for none', async d => {
      assert.ok(Number.isInteger(d.length) && d.length > 0, `length is ${d.length}`)
      assert.ok(
        d.shape.every(n => Number.isInteger(n) && n > 0),
        `shape is [${d.shape}]`,
      )
      for (const key of ['ids', 'captions', 'labels'] as const)
        if (d[key] !== undefined) assert.equal(d[key].length, d.length, `number of ${key}`)
      if (d.ids !== undefined) assert.equal(new Set(d.ids).size, d.length, 'ids are unique')
    }),

    check('gives samples one after another in an array of its type, finite and in their range', async d => {
      const values = await d.batch(some(d))
      const type = d.dtype === 'int32' ? Int32Array : Float32Array
      assert.ok(values instanceof type, `a ${type.name}`)
      assert.equal(values.length, some(d).length * sizeOf(d), 'number of values')
      const [low, high] = range ?? [-Number.MAX_VALUE, Number.MAX_VALUE]
      const at = values.findIndex(v => !(v >= low && v <= high))
      assert.equal(at, -1, `value ${at} is ${values[at]}`)
    }),

    check(
      'gives a sample the same alone, in any company, twice in a batch, and from another instance',
      async d => {
        const order = some(d)
        const size = sizeOf(d)
        const all = await d.batch(order)
        const part = (values: Values, i: number): number[] =>
          Array.from(values.subarray(i * size, (i + 1) * size))
        for (const [i, index] of order.entries())
          assert.deepEqual(
            part(await d.batch(Int32Array.of(index)), 0),
            part(all, i),
            `sample ${index} alone`,
          )
        const mixed = Int32Array.of(order[order.length - 1], order[0], order[order.length - 1])
        const turned = await d.batch(mixed)
        for (const [i, from] of [order.length - 1, 0, order.length - 1].entries())
          assert.deepEqual(part(turned, i), part(all, from), `sample ${mixed[i]} in another order`)
        assert.deepEqual(
          Array.from(await (await make()).batch(order)),
          Array.from(all),
          'the samples of another instance',
        )
      },
    ),

    check(
      'gives what belongs to a sample the same alone and in any company, under the same names',
      async d => {
        if (d.extras === undefined) return
        const order = some(d)
        const all = await d.extras(order)
        for (const [name, { values, shape }] of Object.entries(all)) {
          assert.equal(shape[0], order.length, `samples of ${name}`)
          assert.equal(
            values.length,
            shape.reduce((a, b) => a * b, 1),
            `values of ${name} for its shape [${shape}]`,
          )
        }
        for (const [i, index] of order.entries()) {
          const alone = await d.extras(Int32Array.of(index))
          assert.deepEqual(Object.keys(alone), Object.keys(all), `names of the fields of sample ${index}`)
          for (const [name, { values }] of Object.entries(alone)) {
            const size = values.length
            const there = all[name].values.subarray(i * size, (i + 1) * size)
            assert.deepEqual(Array.from(values), Array.from(there), `${name} of sample ${index} alone`)
          }
        }
      },
    ),

    check('hands out memory of its own, and serves several batches at once', async d => {
      const order = some(d)
      const first = await d.batch(order)
      const before = Array.from(first)
      first.fill(-1)
      const [a, b] = await Promise.all([d.batch(order), d.batch(order)])
      assert.deepEqual(Array.from(a), before, 'a batch after another was written to')
      assert.deepEqual(Array.from(b), before, 'a batch beside another')
      assert.notEqual(a.buffer, b.buffer, 'two batches share memory')
    }),

    check('gives nothing for no samples', async d => {
      assert.equal((await d.batch(new Int32Array(0))).length, 0)
    }),

    check('refuses numbers that it has no sample for with a typed error', async d => {
      for (const wrong of [-1, d.length])
        await assert.rejects(
          async () => d.batch(Int32Array.of(0, wrong)),
          error => {
            assert.ok(error instanceof VqError, `a VqError is expected for ${wrong}, ${error} came`)
            return true
          },
        )
    }),
  ]
}
