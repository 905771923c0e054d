import { cpus } from 'node:os'
import { device, emaUpdate, kmeansSync, nearest, Random, residualEncode, tf } from '@vq/core'
import { Command } from 'commander'
import { type CommandResult, run, table } from './run.js'

export function benchCommand(setExitCode: (code: number) => void): Command {
  return new Command('bench')
    .description('measure what this machine does: nearest codes, k-means, residual codes')
    .option('--json', 'print the figures as JSON')
    .action(async (options: { json?: boolean }) =>
      setExitCode(
        await run(
          options,
          async () => bench(),
          () => 'Stopped.',
        ),
      ),
    )
}

interface Case {
  name: string
  /** Vectors that one call takes. */
  rows: number
  /** Multiplications and additions of one call by the definition, in 10⁹. */
  gflop?: number
  call: () => void
}

function bench(): CommandResult {
  const random = new Random(0)
  const normal = (n: number, dim: number): Float32Array => random.fillNormal(new Float32Array(n * dim))
  const cases: Case[] = [
    nearestCase(8192, 1024, 64),
    nearestCase(65_536, 256, 64),
    residualCase(),
    kmeansCase(),
    emaCase(),
  ]
  const rows = cases.map(({ name, rows: n, gflop, call }) => {
    const ms = medianOf(call)
    return {
      name,
      ms,
      vectorsPerSecond: (n / ms) * 1000,
      ...(gflop !== undefined && { gflops: gflop / (ms / 1000) }),
    }
  })
  const machine = `${cpus()[0]?.model.trim()}, ${device.threads} threads, ${tf.getBackend()}`
  return {
    json: { machine, cases: rows },
    text: `\n${machine}\n\n${table(
      rows.map(r => [
        r.name,
        `${r.ms.toFixed(2).padStart(9)} ms  ${(r.vectorsPerSecond / 1e6).toFixed(2).padStart(7)} M vectors/s${r.gflops === undefined ? '' : `  ${r.gflops.toFixed(0).padStart(5)} GFLOP/s`}`,
      ]),
    )}\n`,
  }

  function nearestCase(n: number, k: number, dim: number): Case {
    const [x, codes] = [normal(n, dim), normal(k, dim)]
    return {
      name: `nearest of ${k} codes, ${n} × ${dim}`,
      rows: n,
      gflop: (2 * n * k * dim) / 1e9,
      call: () => {
        nearest(x, codes, { dim })
      },
    }
  }

  function residualCase(): Case {
    const [n, dim] = [50_000, 64]
    const x = normal(n, dim)
    const books = Array.from({ length: 4 }, () => normal(256, dim))
    return {
      name: `4 residual levels of 256, ${n} × ${dim}`,
      rows: n,
      gflop: (2 * n * 4 * 256 * dim) / 1e9,
      call: () => {
        residualEncode(x, books, { dim })
      },
    }
  }

  function kmeansCase(): Case {
    const [n, dim, k] = [50_000, 64, 256]
    const x = normal(n, dim)
    return {
      name: `k-means, ${k} clusters, 25 iterations, ${n} × ${dim}`,
      rows: n,
      call: () => {
        kmeansSync(x, { k, dim, iterations: 25, tolerance: 0, seed: 0 })
      },
    }
  }

  function emaCase(): Case {
    const [n, dim, k] = [65_536, 64, 1024]
    const x = normal(n, dim)
    const codebook = normal(k, dim)
    const { indices } = nearest(x, codebook, { dim })
    const state = { codebook, counts: new Float32Array(k).fill(1), sums: codebook.slice() }
    return {
      name: `moving averages of ${k} codes, ${n} × ${dim}`,
      rows: n,
      call: () => {
        emaUpdate(x, indices, state, { dim })
      },
    }
  }
}

/** Milliseconds of a call, after one to warm up: at least five calls and half a second. */
function medianOf(call: () => void): number {
  call()
  const times: number[] = []
  const end = performance.now() + 500
  while (times.length < 5 || performance.now() < end) {
    const started = performance.now()
    call()
    times.push(performance.now() - started)
  }
  return times.sort((a, b) => a - b)[Math.floor(times.length / 2)] as number
}
