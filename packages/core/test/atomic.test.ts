import { mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { VqFormatError } from '@vq/core'
import { recoverFolder, writeFileAtomic, writeFolderAtomic } from '@vq/core/io'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'vq-atomic-'))
})
afterEach(() => rmSync(folder, { recursive: true }))
const text = (...names: string[]): string => readFileSync(join(folder, ...names), 'utf8')

describe('writeFileAtomic', () => {
  it('replaces a file by parts and leaves nothing beside it', async () => {
    await writeFileAtomic(join(folder, 'a/b.txt'), 'old')
    await writeFileAtomic(join(folder, 'a/b.txt'), [Buffer.from('ne'), Buffer.from('w')])
    expect(text('a/b.txt')).toBe('new')
    expect(readdirSync(join(folder, 'a'))).toEqual(['b.txt'])
  })

  it('keeps the old file when writing fails half way', async () => {
    await writeFileAtomic(join(folder, 'f'), 'old')
    const parts = function* (): Generator<Uint8Array> {
      yield Buffer.from('half')
      throw new Error('disk on fire')
    }
    await expect(writeFileAtomic(join(folder, 'f'), parts())).rejects.toThrow('disk on fire')
    expect(text('f')).toBe('old')
    expect(readdirSync(folder)).toEqual(['f'])
  })
})

describe('where nothing can be written', () => {
  it('is told by a typed error that names the path, and leaves nothing', async () => {
    await writeFileAtomic(join(folder, 'file'), 'old')
    mkdirSync(join(folder, 'taken/x'), { recursive: true })
    for (const [path, code] of [
      ['file/below', /ENOTDIR|EEXIST/],
      ['taken', /EISDIR|ENOTEMPTY|EEXIST|EPERM/],
      ['n'.repeat(300), /ENAMETOOLONG|ENOENT/],
    ] as const) {
      const error = await writeFileAtomic(join(folder, path), 'new').catch(e => e)
      expect(error, path).toBeInstanceOf(VqFormatError)
      expect(error.message).toContain(join(folder, path))
      expect(error.received).toMatch(code)
    }
    await expect(writeFolderAtomic(join(folder, 'file/below'), async () => {})).rejects.toThrow(VqFormatError)
    expect(readdirSync(folder).sort()).toEqual(['file', 'taken'])
    expect(text('file')).toBe('old')
  })

  it('is not where a crash left its files, also of a process of the same number', async () => {
    for (let i = 0; i < 200; i++) writeFileSync(join(folder, `.f.${process.pid}-${i}.tmp`), 'half')
    await writeFileAtomic(join(folder, 'f'), 'new')
    expect(text('f')).toBe('new')
  })
})

describe('writeFolderAtomic', () => {
  const write = (content: string) => async (temp: string) => writeFileSync(join(temp, 'x'), content)

  it('replaces a folder as a whole', async () => {
    const path = join(folder, 'run')
    await writeFolderAtomic(path, async temp => {
      mkdirSync(join(temp, 'deep'))
      writeFileSync(join(temp, 'deep/y'), 'old')
    })
    await writeFolderAtomic(path, write('new'))
    expect(readdirSync(path)).toEqual(['x'])
    expect(text('run/x')).toBe('new')
    expect(readdirSync(folder)).toEqual(['run'])
  })

  it('keeps the old folder when writing fails', async () => {
    const path = join(folder, 'run')
    await writeFolderAtomic(path, write('old'))
    const failing = writeFolderAtomic(path, async temp => {
      writeFileSync(join(temp, 'x'), 'half')
      throw new Error('disk on fire')
    })
    await expect(failing).rejects.toThrow('disk on fire')
    expect(text('run/x')).toBe('old')
    expect(readdirSync(folder)).toEqual(['run'])
  })

  it('brings the old folder back after a crash between the two renames', async () => {
    const path = join(folder, 'run')
    await writeFolderAtomic(path, write('old'))
    renameSync(path, join(folder, '.run.old'))
    await recoverFolder(path)
    expect(text('run/x')).toBe('old')
    expect(readdirSync(folder)).toEqual(['run'])
  })

  it('does not touch a file of that name', async () => {
    writeFileSync(join(folder, 'run'), 'mine')
    await expect(writeFolderAtomic(join(folder, 'run'), write('new'))).rejects.toThrow(/folder or absent/)
    expect(text('run')).toBe('mine')
  })
})
