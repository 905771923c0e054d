import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { tf } from '@vq/core'
import { imagesForTexts, loadMultimodal } from '@vq/igpt'
import sharp from 'sharp'
import { afterAll, afterEach, describe, expect, test, vi } from 'vitest'
import { runCommand } from '../../../test/contract/command.js'
import { readConfig } from '../src/cli/config.js'
import { main } from '../src/cli/main.js'

const folder = mkdtempSync(join(tmpdir(), 'vq-igpt-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
afterEach(() => vi.restoreAllMocks())

const command = (...words: string[]) => runCommand(main, ['vq-igpt', ...words])

const tiny = ['vqvae_dim=8', 'vqvae_D=8', 'vqvae_K=16', 'vqvae_epochs=1', 'igpt_epochs=1', 'd_model=16', 'n_layers=1', 'train_images=48', 'test_images=16', 'image_size=16', 'batch_size=16'] // biome-ignore format: one line

describe('vq-igpt', () => {
  test('trains both stages, writes models, curves and samples, and samples in three ways', {
    timeout: 60_000,
  }, async () => {
    expect(tf.getBackend()).toBe('vq-cpu')
    const trained = await command('train', '--out', folder, '--set', ...tiny)
    expect({ code: trained.code, said: /nats per token of images/.test(trained.out) }).toEqual({
      code: 0,
      said: true,
    })
    for (const name of [
      'image_data',
      'pair_data',
      'training_curves',
      'text_conditioned_samples',
      'image_conditioned_samples',
      'unconditional_samples',
    ])
      expect((await sharp(join(folder, 'results', `${name}.png`)).metadata()).width).toBeGreaterThan(300)
    const losses = JSON.parse(readFileSync(join(folder, 'results', 'losses.json'), 'utf8'))
    expect(losses.igpt.test).toHaveLength(1)
    expect(losses.heldOut.imageLoss).toBeGreaterThan(0)

    const model = join(folder, 'checkpoints')
    const { model: igpt, vocabulary, tokenizer } = await loadMultimodal(model)
    const prompt = `light red 7 on dark blue`
    const draw = (): string =>
      imagesForTexts(igpt, vocabulary, [tokenizer.encode(prompt)], { seed: 3 }).join()
    expect(draw()).toBe(draw())
    const picture = join(folder, 'sample.png')
    expect(
      (
        await command(
          'sample',
          '--model',
          model,
          '--prompt',
          prompt,
          '--count',
          '2',
          '--seed',
          '3',
          '--out',
          picture,
        )
      ).code,
    ).toBe(0)
    expect((await sharp(picture).metadata()).format).toBe('png')
    const free = await command(
      'sample',
      '--model',
      model,
      '--unconditional',
      '--count',
      '3',
      '--guidance',
      '2',
      '--out',
      picture,
    )
    expect(free.code).toBe(0)
    const told = await command(
      'sample',
      '--model',
      model,
      '--image',
      picture,
      '--count',
      '2',
      '--temperature',
      '0',
    )
    expect(told.out.trim().split('\n')).toHaveLength(2)
    // A run that ended is not begun again by accident, and ends at once when it is to go on.
    const again = await command('train', '--out', folder, '--resume', '--set', ...tiny)
    expect(again.code).toBe(0)
  })

  test('draws and reads data of every form, and takes the shipped configuration', async () => {
    const pictures = join(folder, 'pictures')
    mkdirSync(pictures, { recursive: true })
    const names = ['a', 'b', 'c', 'd']
    for (const [i, name] of names.entries()) {
      const file = sharp({
        create: { width: 16, height: 16, channels: 3, background: { r: 60 * i, g: 9, b: 9 } },
      })
      await file.png().toFile(join(pictures, `${name}.png`))
      writeFileSync(join(pictures, `${name}.txt`), `picture ${name}\n`)
    }
    const table = join(folder, 'captions.csv')
    writeFileSync(table, `file,caption\n${names.map(n => `${n}.png,"picture ${n}"`).join('\n')}\n`)
    const pickles = fileURLToPath(new URL('../../../test/oracle/pickles/', import.meta.url))
    const size = ['--set', 'image_size=16']
    for (const [words, pairs] of [
      [['--data', pictures, '--captions', 'txt', ...size], '3 pairs to train on, 1 held out'],
      [
        ['--data', pictures, '--captions', table, '--images', pictures, ...size],
        '3 pairs to train on, 1 held out',
      ],
      [
        [
          '--data',
          `${pickles}colored_mnist_with_text.pkl`,
          '--images',
          `${pickles}mnist_colored-4.pkl`,
          '--set',
          'image_size=4',
        ],
        '3 pairs to train on, 2 held out',
      ],
    ] as const) {
      const out = join(folder, 'drawn')
      const result = await command('data', ...words, '--out', out)
      expect({ words, ...result, out: result.out.slice(0, pairs.length) }).toEqual({
        words,
        code: 0,
        err: '',
        out: pairs,
      })
      for (const name of ['image_data', 'pair_data'])
        expect((await sharp(join(out, 'results', `${name}.png`)).metadata()).format).toBe('png')
    }
    const shipped = fileURLToPath(new URL('../configs/colored-mnist.json', import.meta.url))
    const config = await readConfig(shipped, [
      'igpt_warmup_steps=null',
      'vqvae_hidden=[8,16]',
      'vqvae_init=uniform',
    ])
    expect(config).toMatchObject({ vqvae_model: 'style', igpt_warmup_steps: null, vqvae_hidden: [8, 16], vqvae_init: 'uniform' }) // biome-ignore format: one line
    // At most 512 codes a position, and 64 positions: 7 × 7, and those of the whole.
    const { vqvae_K, vqvae_style_K, vqvae_levels, vqvae_style_heads, image_size } = await readConfig(
      shipped,
      [],
    )
    expect(Math.max(vqvae_K, vqvae_style_K)).toBeLessThanOrEqual(512)
    expect((image_size / 4) ** 2 + vqvae_levels * vqvae_style_heads).toBeLessThanOrEqual(64)
  })

  test('says what is wrong, with exit codes', async () => {
    const config = join(folder, 'config.json')
    writeFileSync(config, '{"vqvae_epoch": 3}')
    for (const [words, code, message] of [
      [['train', '--config', config], 1, /Did you mean 'vqvae_epochs'/],
      [['train', '--set', 'dropout=1'], 1, /dropout/],
      [['train', '--set', 'image_size=30'], 1, /multiple of 4/],
      [['train', '--set', 'vqvae_K=1.5'], 1, /vqvae_K to be a whole number/],
      [['train', '--set', 'vqvae_model=vqvea'], 1, /'vqvae' or 'rqvae' or 'style'/],
      [['train', '--set', 'vqvae_hidden=[8,8]', 'image_size=20'], 1, /multiple of 8/],
      [['train', '--set', 'top_p=0'], 1, /top_p to be a number above 0 up to 1/],
      [['train', '--config', join(folder, 'nowhere.json')], 1, /a readable file/],
      [['train', '--data', join(folder, 'nowhere')], 1, /nowhere/],
      [['data', '--data', join(folder, 'nowhere.pkl')], 1, /nowhere/],
      [['sample', '--model', join(folder, 'nowhere'), '--prompt', 'x'], 1, /nowhere/],
      [['sample', '--model', join(folder, 'checkpoints')], 1, /one of --prompt, --image and --unconditional/],
      [
        ['sample', '--model', join(folder, 'checkpoints'), '--prompt', 'light rad 7'],
        1,
        /Did you mean 'red'/,
      ],
      [['sample', '--model', join(folder, 'checkpoints'), '--image', config], 1, /expected an image/],
      [['sample', '--prompt', 'x'], 2, /--model/],
      [['sampel'], 2, /sample/],
    ] as const) {
      const result = await command(...words)
      expect({ words, code: result.code, said: message.test(result.err) }).toEqual({
        words,
        code,
        said: true,
      })
    }
    const { out, code } = await command('train', '--help')
    expect([code, /Examples/.test(out)]).toEqual([0, true])
  })
})
