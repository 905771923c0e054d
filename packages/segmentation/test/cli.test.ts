import {
  copyFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { tf } from '@vq/core'
import { loadSafetensors, saveSafetensors } from '@vq/core/io'
import { loadSharp } from '@vq/models/readers'
import { loadSegmentation, OxfordPetDataModule } from '@vq/segmentation'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { runCommand } from '../../../test/contract/command.js'
import { main } from '../src/cli/main.js'
import { grey, writeMasks, writePets } from './tiny-data.js'

const folder = mkdtempSync(join(tmpdir(), 'vq-segment-'))
const [pets, masks, outputs] = ['pets', 'masks', 'outputs'].map(name => join(folder, name)) as [
  string,
  string,
  string,
]
beforeAll(async () => {
  await writePets(pets, 15)
  await writeMasks(masks, 10, 'ground\nsquare\n')
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))
afterEach(() => vi.restoreAllMocks())

const command = (...words: (string | number)[]) => runCommand(main, ['vq-segment', ...words.map(String)])

const data = ['--data-path', pets, '--image-size', 32, '--model', 'small', '--output-dir', outputs, '--head-width', 8] // biome-ignore format: one line
const backbone = join(outputs, 'backbone')
const json = (...path: string[]) => JSON.parse(readFileSync(join(outputs, ...path), 'utf8'))

describe('vq-segment', () => {
  test('trains from scratch, squeezes, goes on, and draws', { timeout: 120_000 }, async () => {
    expect(tf.getBackend()).toBe('vq-cpu')
    const first = await command('baseline', ...data, '--epochs', 2, '--lr', 3e-3, '--average-decay', 0.5, '--experiment-name', 'backbone') // biome-ignore format: one line
    expect([first.code, first.err.replace(/step .*\n/g, '')]).toEqual([0, ''])
    expect(first.out).toMatch(/12 images to train on, 3 to validate.*border: class/)
    expect(first.out).toMatch(/from scratch/)
    for (const name of ['best.safetensors', 'last.safetensors', 'results.json', 'config.json', 'metrics.jsonl', 'training_curves.png', 'events/train', 'events/validation']) // biome-ignore format: one line
      expect([name, existsSync(join(backbone, name))]).toEqual([name, true])
    const results = json('backbone', 'results.json')
    expect(results.evaluation.classes.map((c: { name: string }) => c.name)).toEqual([
      'pet',
      'background',
      'border',
    ])
    expect(results.evaluation.codes).toBeUndefined()

    const squeeze = ['squeeze', ...data, '--weights', backbone, '--quantizer-type', 'rvq', '--codebook-size', 8, '--num-quantizers', 2, '--bottleneck-dim', 8, '--copies', 2] // biome-ignore format: one line
    const second = await command(...squeeze, '--epochs', 1)
    expect(second.code).toBe(0)
    expect(second.out).toMatch(/Features of 27 images .* the backbone ran for/)
    expect(second.out).toMatch(/6\.00 bits per feature vector/)
    const measured = json('vq_squeeze', 'results.json').evaluation
    expect(measured.codes.bits.nominal).toBe(6)
    expect(measured.codes.compression.nominal).toBeCloseTo((128 * 32) / 6, 9)

    // What is drawn is what the checkpoint predicts.
    const { model, config } = await loadSegmentation(join(outputs, 'vq_squeeze'))
    expect([config.quantizer.type, config.border, config.imageSize]).toEqual(['rvq', 'class', 32])
    const trained = (await loadSafetensors(join(backbone, 'best.safetensors'))).tensors
    const kept = model.stateDict()['backbone.backbone.layer3.1.conv2.weight']!.data
    expect(`${kept}`).toBe(`${trained['backbone.backbone.layer3.1.conv2.weight']!.data}`)
    model.dispose()

    const refused = await command(...squeeze, '--epochs', 2)
    expect([refused.code, /--resume to go on/.test(refused.err)]).toEqual([1, true])
    const other = await command(...squeeze, '--epochs', 2, '--lr', 1, '--resume')
    expect([other.code, /--lr 0\.0001/.test(other.err)]).toEqual([1, true])
    const third = await command(...squeeze, '--epochs', 3, '--resume')
    expect(third.code).toBe(0)
    expect(third.out).toMatch(/ran for 0\.0 s \(the rest was there\)/)
    const steps = readFileSync(join(outputs, 'vq_squeeze/metrics.jsonl'), 'utf8')
      .trim()
      .split('\n')
      .map(line => JSON.parse(line))
    // 24 versions in batches of 4: evaluations after 6, 12 and 18 steps, the first of them by the run before.
    expect(steps.filter(m => m.split === 'validation').map(m => m.step)).toEqual([6, 12, 18])

    // What is thrown away is gone before anything can fail, and is not gone on from with other flags.
    const blocked = join(folder, 'a-file')
    writeFileSync(blocked, '')
    const stopped = await command(...squeeze, '--epochs', 1, '--lr', 2e-4, '--overwrite', '--cache-dir', join(blocked, 'cache')) // biome-ignore format: one line
    expect([stopped.code, stopped.err.includes('unexpected')]).toEqual([1, false])
    expect(existsSync(join(outputs, 'vq_squeeze/results.json'))).toBe(false)
    expect((await command(...squeeze, '--epochs', 1, '--lr', 2e-4, '--resume')).code).toBe(0)
    const anew = readFileSync(join(outputs, 'vq_squeeze/metrics.jsonl'), 'utf8').trim().split('\n')
    expect(anew.map(line => JSON.parse(line)).filter(m => m.split === 'validation').map(m => m.step)).toEqual([6]) // biome-ignore format: one line

    const pictures = join(folder, 'pictures')
    const drawn = await command('visualize', '--vq-checkpoint', join(outputs, 'vq_squeeze'), '--baseline-checkpoint', join(backbone, 'last.safetensors'), '--data-path', pets, '--output-dir', pictures, '--n-best', 2, '--n-worst', 1) // biome-ignore format: one line
    expect(drawn.code).toBe(0)
    const sharp = await loadSharp()
    const sizes = []
    for (const name of ['best', 'worst']) {
      const { width, height } = await sharp(join(pictures, 'small', `${name}_results_test.png`)).metadata()
      expect(width).toBeGreaterThan(600)
      sizes.push(height)
    }
    expect(sizes[0]).toBeGreaterThan(sizes[1]!)
    const ranked = JSON.parse(readFileSync(join(pictures, 'small/results_test.json'), 'utf8'))
    expect(ranked.squeezed.iou[0]).toBeCloseTo(measuredIou('vq_squeeze'), 6)
    const ious = ranked.images.map((i: { squeezed: number }) => i.squeezed)
    expect(ious).toEqual([...ious].sort((a, b) => b - a))
    const mixed = await command('visualize', '--vq-checkpoint', join(outputs, 'vq_squeeze'), '--baseline-checkpoint', backbone, '--model', 'vit') // biome-ignore format: one line
    expect([mixed.code, /--model vit/.test(mixed.err)]).toEqual([1, true])
  })

  test('compares all quantizers on the same features', { timeout: 120_000 }, async () => {
    const compared = await command('compare', ...data, '--weights', backbone, '--codebook-size', 16, '--bottleneck-dim', 8, '--num-quantizers', 2, '--epochs', 1) // biome-ignore format: one line
    expect(compared.code).toBe(0)
    const runs = json('comparison', 'comparison.json')
    expect(runs.map((r: { name: string }) => r.name)).toEqual(['vq', 'fsq', 'lfq', 'rvq', 'none'])
    expect(runs.every((r: { result: { featureDim: number } }) => r.result.featureDim === 128)).toBe(true)
    const bits = runs.map((r: { result: { evaluation: { codes?: { bits: { nominal: number } } } } }) => r.result.evaluation.codes?.bits.nominal) // biome-ignore format: one line
    // fsqLevels(16) is 4 × 4.
    expect(bits).toEqual([4, 4, 4, 8, undefined])
    expect(runs.slice(1).every((r: { result: { features: { reused: boolean } } }) => r.result.features.reused)).toBe(true) // biome-ignore format: one line
    expect(compared.out).toMatch(/FSQ with levels 4 × 4 has 16 codes, 4\.00 bits/)
    const table = readFileSync(join(outputs, 'comparison/comparison.md'), 'utf8').trim().split('\n')
    expect(table).toHaveLength(7)
    expect(new Set(table.map(line => line.split('|').length)).size).toBe(1)
    expect(existsSync(join(outputs, 'comparison/rate_quality.png'))).toBe(true)
    expect(readdirSync(join(outputs, 'cache')).filter(name => name.startsWith('.'))).toEqual([])
  })

  test('goes on with the weights that it began with alone', { timeout: 60_000 }, async () => {
    const weights = join(folder, 'own.safetensors')
    copyFileSync(join(backbone, 'best.safetensors'), weights)
    const words = ['squeeze', ...data, '--weights', weights, '--quantizer-type', 'fsq', '--experiment-name', 'again'] // biome-ignore format: one line
    expect((await command(...words, '--epochs', 1)).code).toBe(0)
    const { tensors, metadata } = await loadSafetensors(weights)
    tensors['backbone.backbone.conv1.weight']!.data.reverse()
    await saveSafetensors(weights, tensors, metadata)
    const other = await command(...words, '--epochs', 2, '--resume')
    expect([other.code, /others in .*own\.safetensors/.test(other.err)]).toEqual([1, true])
    copyFileSync(join(backbone, 'best.safetensors'), weights)
    expect((await command(...words, '--epochs', 2, '--resume')).code).toBe(0)
  })

  test('trains on a folder of images and masks, with a border that counts nowhere', async () => {
    const folderData = [...data.slice(2), '--dataset', 'folder', '--data-path', masks]
    const trained = await command('squeeze', ...folderData, '--quantizer-type', 'lfq', '--codebook-size', 16, '--epochs', 1, '--loss-type', 'dice', '--experiment-name', 'folder') // biome-ignore format: one line
    expect([trained.code, /classes: ground, square/.test(trained.out)]).toEqual([0, true])
    expect(json('folder', 'results.json').evaluation.classes).toHaveLength(2)
  })

  test('says what is wrong, with exit codes, before anything is trained', async () => {
    const damaged = join(folder, 'damaged')
    await writePets(damaged, 6)
    await grey(join(damaged, 'trimaps/square_2.png'), new Uint8Array(100).fill(1), [10, 10])
    const file = join(folder, 'text.safetensors')
    writeFileSync(file, 'nothing of the kind')
    const fresh = ['--experiment-name', 'wrong']
    const cases: [(string | number)[], number, RegExp][] = [
      [['squeez'], 2, /squeeze/],
      [['squeeze', '--quantizer', 'vq'], 2, /unknown option/],
      [['squeeze', '--quantizer-type', 'pq'], 2, /Allowed choices are vq, fsq, lfq, rvq, none/],
      [['squeeze', '--epochs', 'ten'], 2, /whole number/],
      [['squeeze', '--lr', -1], 2, /number from 0/],
      [['baseline', '--quantizer-type', 'vq'], 2, /unknown option/],
      [['visualize', '--vq-checkpoint', 'x'], 2, /--baseline-checkpoint/],
      [['squeeze', '--data-path', join(folder, 'nowhere')], 1, /nowhere.*--download/],
      [
        ['squeeze', ...data, ...fresh, '--data-path', damaged],
        1,
        /square_2\.jpg: 10×10 instead of (?!.*received.*received).*--damaged skip/,
      ],
      [['squeeze', ...data, ...fresh, '--dataset', 'folder'], 1, /the folder masks|classes\.txt/],
      [['squeeze', ...data, ...fresh, '--classes', 'a,b'], 1, /--dataset folder/],
      [['squeeze', ...data, ...fresh, '--levels', '4,4'], 1, /--quantizer-type fsq/],
      [['squeeze', ...data, ...fresh, '--quantizer-type', 'lfq', '--codebook-size', 12], 1, /codebookSize/],
      [['squeeze', ...data, ...fresh, '--weights', file], 1, /text\.safetensors/],
      [['squeeze', ...data, ...fresh, '--weights', join(folder, 'no.pth')], 1, /no\.pth/],
      [['squeeze', ...data, ...fresh, '--weights', backbone, '--model', 'resnet'], 1, /--model small/],
      [
        ['squeeze', ...data, ...fresh, '--weights', backbone, '--codebook-size', 4096],
        1,
        /4096 feature vectors/,
      ],
      [['squeeze', ...data, ...fresh, '--codebook-size', 2 ** 24], 1, /at most 50000 codes/],
      [['squeeze', ...data, '--experiment-name', '../out'], 1, /--experiment-name/],
      [['squeeze', ...data, ...fresh, '--resume', '--overwrite'], 1, /one of --resume and --overwrite/],
      [['squeeze', ...data, ...fresh, '--use-clearml'], 1, /CLEARML_API_HOST/],
      [['compare', ...data], 1, /--weights/],
      [['squeeze', ...data, ...fresh, '--copies', 2], 1, /--copies: expected a frozen backbone/],
      [
        ['squeeze', ...data, ...fresh, '--weights', backbone, '--train-backbone', '--copies', 2],
        1,
        /--copies/,
      ],
      [
        ['squeeze', ...data, ...fresh, '--weights', backbone, '--head-width', 9],
        1,
        /expected 8, as the checkpoint.*received 9/,
      ],
      [
        ['squeeze', ...data, ...fresh, '--weights', backbone, '--normalization', 'half'],
        1,
        /expected imagenet, as the checkpoint/,
      ],
      [
        ['squeeze', ...data, ...fresh, '--num-quantizers', 2],
        1,
        /--num-quantizers: expected --quantizer-type rvq, received vq/,
      ],
      [
        ['squeeze', ...data, ...fresh, '--quantizer-type', 'none', '--codebook-size', 8],
        1,
        /--codebook-size: expected/,
      ],
      [['squeeze', ...data, ...fresh, '--quantizer-type', 'vq', '--spherical'], 1, /--quantizer-type lfq/],
      [
        ['squeeze', ...data, ...fresh, '--dataset', 'folder', '--download'],
        1,
        /--download: expected --dataset oxford_pet/,
      ],
      [
        ['squeeze', ...data, ...fresh, '--dataset', 'folder', '--border', 'pet'],
        1,
        /--border: expected --dataset oxford_pet/,
      ],
      [['compare', ...data, '--weights', backbone, '--experiment-name', '../out'], 1, /--experiment-name/],
      [['visualize', '--vq-checkpoint', file, '--baseline-checkpoint', file], 1, /text\.safetensors/],
      [['visualize', '--vq-checkpoint', folder, '--baseline-checkpoint', file], 1, /best\.safetensors/],
    ]
    for (const [words, code, message] of cases) {
      const result = await command(...words)
      expect({ words, code: result.code, said: message.test(result.err) ? '' : result.err }).toEqual({
        words,
        code,
        said: '',
      })
      expect(result.err).not.toMatch(/unexpected error/)
    }
    expect(existsSync(join(outputs, 'wrong/results.json'))).toBe(false)
    for (const name of ['squeeze', 'baseline', 'visualize', 'compare']) {
      const { out, code } = await command(name, '--help')
      expect([name, code, /--data-path/.test(out)]).toEqual([name, 0, true])
    }
  })
})

function measuredIou(name: string): number {
  return json(name, 'results.json').evaluation.classes[0].iou
}

test('every flag of the published study is there, with its default', async () => {
  const { out } = await command('squeeze', '--help')
  const flat = out.replace(/\s+/g, ' ')
  for (const [flag, value] of Object.entries({
    model: '"vit"',
    'quantizer-type': '"vq"',
    'codebook-size': '512',
    'bottleneck-dim': '64',
    'num-quantizers': '4',
    epochs: '10',
    'batch-size': '4',
    lr: '0.0001',
    'vq-loss-weight': '0.1',
    'loss-type': '"ce"',
    dataset: '"oxford_pet"',
    'data-path': '"./data"',
    'output-dir': '"./outputs"',
    'experiment-name': '"vq_squeeze"', // biome-ignore format: one line
  }))
    expect([flag, new RegExp(`--${flag} <[^>]+>[^>]*?default: ${value}\\)`).test(flat)]).toEqual([flag, true])
  for (const flag of ['use-clearml', 'project-name', 'task-name', 'subset-size', 'resume'])
    expect(flat).toContain(`--${flag}`)
  expect(new OxfordPetDataModule({ dataPath: './data' }).batchSize).toBe(4)
})
