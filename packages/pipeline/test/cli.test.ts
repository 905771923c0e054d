import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { tf, VqConfigError } from '@vq/core'
import { VQVAE } from '@vq/models'
import { coloredDigits } from '@vq/models/data'
import { readSemanticIds } from '@vq/pipeline'
import sharp from 'sharp'
import { afterAll, afterEach, describe, expect, test, vi } from 'vitest'
import { explain } from '../src/cli/exit.js'
import { main } from '../src/cli/main.js'
import { type DemoReport, runDemo } from '../src/demo/run.js'
import type { DemoOptions } from '../src/demo/settings.js'

const folder = mkdtempSync(join(tmpdir(), 'vq-cli-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
afterEach(() => vi.restoreAllMocks())

const small = { size: 16, codes: 16, batch: 8, trainImages: 40, heldOutImages: 20, steps: 12 }
const never = new AbortController().signal
const demo = (options: Partial<DemoOptions> & { out: string }, signal = never): Promise<DemoReport> =>
  runDemo({ ...small, ...options }, () => {}, signal)

async function command(...words: string[]): Promise<{ code: number; out: string; err: string }> {
  const written = { out: '', err: '' }
  const catching = (stream: NodeJS.WriteStream, name: 'out' | 'err'): void => {
    vi.spyOn(stream, 'write').mockImplementation(text => {
      written[name] += text
      return true
    })
  }
  catching(process.stdout, 'out')
  catching(process.stderr, 'err')
  const code = await main(['node', 'vq', ...words])
  vi.restoreAllMocks()
  return { code, ...written }
}

describe('vq demo', () => {
  test('writes an artifact, semantic IDs, figures and the figures it reports', async () => {
    const out = join(folder, 'digits')
    const report = await demo({ out, seed: 3 })
    expect(tf.getBackend()).toBe('vq-cpu')
    expect(report.heldOut).toMatchObject({ images: 20, numEmbeddings: 16, grid: [4, 4] })
    // 16 codes of 4 bits for 256 pixels.
    expect(report.heldOut.bitsPerPixel).toBe(0.25)
    expect(report.heldOut.psnr).toBeCloseTo(-10 * Math.log10(report.heldOut.mse), 10)
    expect(JSON.parse(readFileSync(join(out, 'metrics.json'), 'utf8'))).toEqual(report)

    // The codes on disk are those of the saved model, and decode to the PSNR that was reported.
    const ids = await readSemanticIds(join(out, 'ids.parquet'))
    expect(await readSemanticIds(join(out, 'ids.jsonl'))).toEqual(ids)
    expect(ids.length).toBe(60)
    const heldOut = coloredDigits({ count: 20, size: 16, seed: 3, offset: 40 })
    expect(ids.slice(40).map(item => item.caption)).toEqual(heldOut.captions)
    expect(ids.slice(40).map(item => item.id)).toEqual(heldOut.ids)
    const model = await VQVAE.load(join(out, 'model'))
    const values = heldOut.batch(Int32Array.from({ length: 20 }, (_, i) => i)) as Float32Array
    const codes = model.encodeToIndices(tf.tensor(values, [20, 16, 16, 3]))
    expect(Array.from(codes.dataSync())).toEqual(ids.slice(40).flatMap(item => Array.from(item.codes)))
    const decoded = tf.clipByValue(model.decodeFromIndices(codes), 0, 1).dataSync<'float32'>()
    const mse = decoded.reduce((sum, v, i) => sum + (v - values[i]!) ** 2, 0) / values.length
    expect(report.heldOut.psnr).toBeCloseTo(-10 * Math.log10(mse), 3)

    for (const name of ['reconstructions', 'training_curves', 'codebook_usage'])
      expect((await sharp(join(out, `${name}.png`)).metadata()).width).toBeGreaterThan(600)
  })

  test('interrupted and resumed, ends with the same weights as one that was not', async () => {
    const whole = join(folder, 'whole')
    await demo({ out: whole })
    const parts = join(folder, 'parts')
    const controller = new AbortController()
    let polls = 0
    // Stops after some steps, wherever that is.
    const signal = new Proxy(controller.signal, {
      get: (target, key) => {
        if (key === 'aborted' && ++polls > 6) return true
        const value = Reflect.get(target, key)
        return typeof value === 'function' ? value.bind(target) : value
      },
    })
    await expect(demo({ out: parts }, signal)).rejects.toThrow(
      expect.objectContaining({ name: 'AbortError' }),
    )
    await runDemo({ out: parts, resume: true }, () => {}, never)
    const weights = (out: string): Buffer => readFileSync(join(out, 'model', 'model.safetensors'))
    expect(weights(parts).equals(weights(whole))).toBe(true)
    expect(readFileSync(join(parts, 'ids.jsonl'), 'utf8')).toBe(
      readFileSync(join(whole, 'ids.jsonl'), 'utf8'),
    )
    await expect(runDemo({ out: parts, resume: true, steps: 99 }, () => {}, never)).rejects.toThrow(
      /expected steps 12, as the run in .* began, received steps 99/,
    )
  })

  test('takes a folder of few images with a corrupt file among them', async () => {
    const data = join(folder, 'photos')
    mkdirSync(join(data, 'nested'), { recursive: true })
    const digits = coloredDigits({ count: 6, size: 32, seed: 8 })
    for (let i = 0; i < 6; i++) {
      const pixels = Uint8Array.from(digits.batch(Int32Array.of(i)) as Float32Array, v => Math.round(255 * v))
      const file = join(data, i % 2 === 0 ? `${i}.png` : `nested/${i}.png`)
      await sharp(pixels, { raw: { width: 32, height: 32, channels: 3 } })
        .png()
        .toFile(file)
    }
    writeFileSync(join(data, 'broken.jpg'), 'no picture')
    const out = join(folder, 'photos-out')
    const said: string[] = []
    const report = await runDemo({ ...small, data, out, steps: 4 }, line => said.push(line), never)
    expect(report).toMatchObject({ trainingImages: 5, skippedFiles: 1, heldOut: { images: 1 } })
    expect(said).toContain('  broken.jpg: not an image that can be read')
    const ids = (await readSemanticIds(join(out, 'ids.parquet'))).map(item => item.id)
    expect(ids.sort()).toEqual(['0.png', '2.png', '4.png', 'nested/1.png', 'nested/3.png', 'nested/5.png'])
  })

  test('wrong options are errors with a remedy and write nothing', async () => {
    const out = join(folder, 'nothing')
    await expect(demo({ out, size: 18 })).rejects.toThrow(/divisible by 4.*--size 20/)
    await expect(demo({ out, codes: 1 })).rejects.toThrow(VqConfigError)
    await expect(demo({ out, codes: 129 })).rejects.toThrow(/at most 128 codes/)
    await expect(runDemo({ out, resume: true }, () => {}, never)).rejects.toThrow(/run\.json.*nothing there/)
    expect(() => readFileSync(join(out, 'run.json'))).toThrow(/ENOENT/)
  })
})

describe('the command line', () => {
  test('errors are one paragraph without a stack and a non-zero exit code', async () => {
    const missing = await command('demo', '--data', join(folder, 'no such'), '--out', join(folder, 'x'))
    expect(missing.code).toBe(1)
    expect(missing.err).toMatch(/^vq: imageFolder: expected JPEG, PNG or WebP files .* nothing there\. .*\n$/)
    const wrong = await command('demo', '--steps', 'many')
    expect([wrong.code, /whole number/.test(wrong.err)]).toEqual([2, true])
    expect((await command('nonsense')).code).toBe(2)
    expect(await command('--version')).toMatchObject({ code: 0, err: '' })
  })

  test('an unexpected error says how to see more, and VQ_DEBUG shows where it happened', () => {
    expect(explain(new TypeError('oh'))).toBe(
      'vq: unexpected error: oh\nSet VQ_DEBUG=1 to see where it happened.',
    )
    expect(explain(Object.assign(new Error('ENOSPC: no space'), { code: 'ENOSPC' }))).toBe(
      'vq: ENOSPC: no space',
    )
    vi.stubEnv('VQ_DEBUG', '1')
    expect(explain(new TypeError('oh'))).toMatch(/TypeError: oh\n\s+at .*cli\.test\.ts/)
    vi.unstubAllEnvs()
  })

  test('vq doctor tells what is there', async () => {
    const { code, out } = await command('doctor')
    expect(code).toBe(0)
    expect(out).toContain(process.versions.node)
    expect(out).toMatch(/vq-cpu +(scalar|avx2|avx512|avx512_bf16|neon), \d+ threads/)
    expect(out).toMatch(/in use +vq-cpu/)
    expect(out).toMatch(/ffmpeg +\S+/)
  })
})
