import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { gunzipSync, gzipSync } from 'node:zlib'
import { VqAbortError, VqConfigError, VqDeviceError, VqError, VqFormatError } from '@vq/core'
import { download, downloadDataset, extractTar, remoteDatasets } from '@vq/models/data'
import fc from 'fast-check'
import { Header } from 'tar'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { fetchFiles } from '../src/data/download/manifest.js'
import { temporaryFolder } from './data-fixture.js'

const folder = temporaryFolder()
const body = Buffer.from(Array.from({ length: 200_000 }, (_, i) => (i * 31) % 251))
const sha256 = createHash('sha256').update(body).digest('hex')

type Answer = (request: IncomingMessage, response: ServerResponse) => void
let server: Server
let url = ''
let answer: Answer
const asked: { range: string | undefined; ifRange: string | undefined }[] = []
beforeAll(async () => {
  server = createServer((request, response) => {
    asked.push({ range: request.headers.range, ifRange: request.headers['if-range'] as string | undefined })
    answer(request, response)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/file.bin`
})
afterEach(() => {
  asked.length = 0
})
afterAll(() => {
  server.closeAllConnections()
  server.close()
})

let count = 0
const options = () => ({ url, to: join(folder, `${count++}`, 'file.bin'), sha256, retryMs: 1 })

/** A server that keeps to ranges and gives at most `most` bytes before it cuts the connection. */
const ranged =
  (content: Buffer, most = Number.POSITIVE_INFINITY, etag = '"v1"'): Answer =>
  (request, response) => {
    const valid = request.headers['if-range'] === undefined || request.headers['if-range'] === etag
    const from = valid ? Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0) : 0
    if (from >= content.length) {
      response.writeHead(416, { 'content-range': `bytes */${content.length}` }).end()
      return
    }
    const part = content.subarray(from)
    response.writeHead(from > 0 ? 206 : 200, {
      etag,
      'content-length': part.length,
      ...(from > 0 && { 'content-range': `bytes ${from}-${content.length - 1}/${content.length}` }),
    })
    if (part.length <= most) response.end(part)
    else response.write(part.subarray(0, most), () => setTimeout(() => response.destroy(), 200))
  }

describe('download', () => {
  it('fetches a file, says how far it is, and does not fetch it again', async () => {
    answer = ranged(body)
    const steps: [number, number | undefined][] = []
    const wanted = { ...options(), onProgress: (done: number, total?: number) => steps.push([done, total]) }
    expect(await download(wanted)).toBe(wanted.to)
    expect(readFileSync(wanted.to).equals(body)).toBe(true)
    expect(steps.at(-1)).toEqual([body.length, body.length])
    expect(steps.every(([done], i) => i === 0 || done > steps[i - 1][0])).toBe(true)
    expect(readdirSync(join(wanted.to, '..'))).toEqual(['file.bin'])
    await download(wanted)
    expect(asked.length).toBe(1)
  })

  it('goes on where a cut connection ended, as often as needed', async () => {
    answer = ranged(body, 60_000)
    const wanted = { ...options(), retries: 20 }
    await download(wanted)
    expect(readFileSync(wanted.to).equals(body)).toBe(true)
    // At most 60,000 bytes each time, so at least four requests, each of them behind what was there.
    const starts = asked.map(a => Number(/bytes=(\d+)-/.exec(a.range ?? '')?.[1] ?? 0))
    expect(starts.length).toBeGreaterThanOrEqual(4)
    expect(starts.every((from, i) => i === 0 || from >= starts[i - 1])).toBe(true)
    expect(starts.at(-1)).toBeGreaterThanOrEqual(140_000)
    expect(asked.at(-1)?.ifRange).toBe('"v1"')
  })

  it('goes on in a later call', async () => {
    const wanted = { ...options(), retries: 0 }
    answer = ranged(body, 150_000)
    await expect(download(wanted)).rejects.toThrow(VqDeviceError)
    expect(existsSync(wanted.to)).toBe(false)
    answer = ranged(body)
    await download(wanted)
    expect(Number(/bytes=(\d+)-/.exec(asked[1].range ?? '')?.[1])).toBeGreaterThan(0)
    expect(readFileSync(wanted.to).equals(body)).toBe(true)
  })

  it('starts over where the server knows no ranges, or has another version by now', async () => {
    const whole: Answer = (_, response) =>
      response.writeHead(200, { 'content-length': body.length }).end(body)
    for (const second of [whole, ranged(body, Number.POSITIVE_INFINITY, '"v2"')]) {
      const wanted = { ...options(), retries: 0 }
      answer = ranged(Buffer.alloc(200_000, 9), 90_000)
      await expect(download(wanted)).rejects.toThrow(VqDeviceError)
      answer = second
      await download(wanted)
      expect(readFileSync(wanted.to).equals(body)).toBe(true)
    }
  })

  it('starts over once where a resumed file has the wrong hash', async () => {
    const wanted = options()
    mkdirSync(join(wanted.to, '..'), { recursive: true })
    writeFileSync(`${wanted.to}.part`, Buffer.alloc(1000, 1))
    answer = ranged(body)
    await download(wanted)
    expect(asked.map(a => a.range)).toEqual(['bytes=1000-', undefined])
    expect(readFileSync(wanted.to).equals(body)).toBe(true)
  })

  it('takes a part that is whole already', async () => {
    const wanted = options()
    mkdirSync(join(wanted.to, '..'), { recursive: true })
    writeFileSync(`${wanted.to}.part`, body)
    answer = ranged(body)
    await download(wanted)
    expect(readFileSync(wanted.to).equals(body)).toBe(true)
  })

  it('keeps nothing under the name that has the wrong hash or size', async () => {
    answer = ranged(Buffer.from('something else'))
    const wanted = options()
    await expect(download(wanted)).rejects.toThrow(VqFormatError)
    expect(readdirSync(join(wanted.to, '..'))).toEqual([])
    await expect(download({ ...options(), size: 5 })).rejects.toThrow(/14 bytes/)
    await expect(download({ ...options(), maxBytes: 5 })).rejects.toThrow(/more than 5 bytes/)
    mkdirSync(join(wanted.to, '..'), { recursive: true })
    writeFileSync(wanted.to, 'of the user')
    await expect(download(wanted)).rejects.toThrow(/Move it away/)
    expect(readFileSync(wanted.to, 'utf8')).toBe('of the user')
  })

  it('asks once where the file is not there, again where the server is busy', async () => {
    answer = (_, response) => response.writeHead(404).end()
    await expect(download(options())).rejects.toThrow(VqConfigError)
    expect(asked.length).toBe(1)
    let busy = 2
    answer = (request, response) =>
      busy-- > 0 ? response.writeHead(503).end() : ranged(body)(request, response)
    await download(options())
    expect(asked.length).toBe(4)
  })

  it('gives up a connection that says nothing', async () => {
    answer = () => {}
    await expect(download({ ...options(), idleMs: 500, retries: 1 })).rejects.toThrow(/nothing for 500 ms/)
    expect(asked.length).toBe(2)
  })

  it('stops on a signal and can go on afterwards', async () => {
    const controller = new AbortController()
    answer = (_, response) => {
      response.writeHead(200, { 'content-length': body.length, etag: '"v1"' })
      response.write(body.subarray(0, 50_000))
    }
    const wanted = { ...options(), onProgress: () => controller.abort() }
    await expect(download({ ...wanted, signal: controller.signal })).rejects.toThrow(VqAbortError)
    answer = ranged(body)
    await download(wanted)
    expect(asked[1].range).toMatch(/^bytes=[1-9]/)
    expect(readFileSync(wanted.to).equals(body)).toBe(true)
  })

  it('without a network says which file to put where', async () => {
    const wanted = { ...options(), url: 'http://127.0.0.1:1/file.bin', size: 200_000, retries: 0 }
    const error = await download(wanted).catch(e => e)
    expect(error).toBeInstanceOf(VqDeviceError)
    for (const fact of ['200,000 bytes', sha256, 'file.bin', join(wanted.to, '..')])
      expect(error.message).toContain(fact)
  })

  it('refuses addresses and hashes that are none', async () => {
    await expect(download({ ...options(), url: 'file:///etc/passwd' })).rejects.toThrow(VqConfigError)
    await expect(download({ ...options(), sha256: 'abc' })).rejects.toThrow(VqConfigError)
  })
})

interface Entry {
  path: string
  type?: 'File' | 'Directory' | 'SymbolicLink' | 'Link' | 'CharacterDevice'
  linkpath?: string
  data?: string
}

function tarOf(entries: Entry[]): Buffer {
  const parts = entries.flatMap(({ path, type = 'File', linkpath, data = '' }) => {
    const block = Buffer.alloc(512)
    new Header({
      path,
      type,
      size: Buffer.byteLength(data),
      mode: 0o644,
      ...(linkpath && { linkpath }),
    }).encode(block, 0)
    return [block, Buffer.from(data.padEnd(Math.ceil(data.length / 512) * 512, '\0'))]
  })
  return gzipSync(Buffer.concat([...parts, Buffer.alloc(1024)]))
}

describe('extractTar', () => {
  const archive = (entries: Entry[]): string => {
    const path = join(folder, `${count++}.tar.gz`)
    writeFileSync(path, tarOf(entries))
    return path
  }
  const good: Entry[] = [
    { path: 'set/', type: 'Directory' },
    { path: 'set/a.txt', data: 'hello' },
    { path: 'set/deep/b.txt', data: 'world' },
  ]

  it('unpacks files and folders, and names what it made', async () => {
    const to = join(folder, `${count++}`)
    expect(await extractTar(archive(good), to)).toEqual(['set'])
    expect(readFileSync(join(to, 'set/deep/b.txt'), 'utf8')).toBe('world')
    expect(readdirSync(to)).toEqual(['set'])
    await expect(extractTar(archive(good), to)).rejects.toThrow(/already there/)
  })

  it.each<[string, Entry]>([
    ['a path upwards', { path: '../evil.txt', data: 'x' }],
    ['a path upwards further in', { path: 'set/../../evil.txt', data: 'x' }],
    ['an absolute path', { path: '/tmp/vq-evil.txt', data: 'x' }],
    ['a path of Windows', { path: 'C:\\evil.txt', data: 'x' }],
    ['a symbolic link', { path: 'set/link', type: 'SymbolicLink', linkpath: '/etc' }],
    ['a hard link', { path: 'set/hard', type: 'Link', linkpath: 'set/a.txt' }],
    ['a device', { path: 'set/device', type: 'CharacterDevice' }],
  ])('refuses %s, and leaves nothing behind', async (_, evil) => {
    const around = join(folder, `${count++}`)
    const to = join(around, 'inner')
    for (const entries of [
      [...good, evil],
      [evil, ...good],
    ])
      await expect(extractTar(archive(entries), to)).rejects.toThrow(VqFormatError)
    expect(readdirSync(around)).toEqual(['inner'])
    expect(readdirSync(to)).toEqual([])
    expect(existsSync('/tmp/vq-evil.txt')).toBe(false)
  })

  it('keeps to its bounds, and refuses what is cut, empty or no archive', async () => {
    const to = join(folder, `${count++}`)
    await expect(extractTar(archive(good), to, { maxBytes: 9 })).rejects.toThrow(/more than 9 bytes/)
    await expect(extractTar(archive(good), to, { maxEntries: 2 })).rejects.toThrow(/more than 2 entries/)
    const cut = join(folder, 'cut.tar.gz')
    writeFileSync(cut, tarOf(good).subarray(0, 100))
    await expect(extractTar(cut, to)).rejects.toThrow(VqFormatError)
    writeFileSync(cut, 'no archive at all')
    await expect(extractTar(cut, to)).rejects.toThrow(VqFormatError)
    await expect(extractTar(archive([]), to)).rejects.toThrow(VqFormatError)
    await expect(extractTar(join(folder, 'none.tar'), to)).rejects.toThrow(VqConfigError)
    expect(readdirSync(to)).toEqual([])
  })
})

it('no change to an archive gets out of the folder or ends in an error without a type', async () => {
  const around = join(folder, 'fuzz')
  const to = join(around, 'inner')
  mkdirSync(to, { recursive: true })
  const entries: Entry[] = [
    { path: 'set/', type: 'Directory' },
    { path: 'set/a.txt', data: 'hello' },
    { path: 'set/b', type: 'File', data: 'x'.repeat(600) },
  ]
  const whole = gunzipSync(tarOf(entries))
  const change = fc.tuple(fc.nat(whole.length - 1), fc.integer({ min: 0, max: 255 }), fc.boolean())
  await fc.assert(
    fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 6 }), async changes => {
      const bytes = Buffer.from(whole)
      for (const [at, value, inHeader] of changes) bytes[inHeader ? at % 1536 : at] = value
      // Right sums, so that the fields themselves are looked at.
      for (const start of [0, 512, 1536]) {
        bytes.fill(' ', start + 148, start + 156)
        const sum = bytes.subarray(start, start + 512).reduce((a, b) => a + b, 0)
        bytes.write(`${sum.toString(8).padStart(6, '0')}\0 `, start + 148, 'latin1')
      }
      const path = join(folder, 'fuzzed.tar')
      writeFileSync(path, bytes)
      const failed = await extractTar(path, to, { maxBytes: 1e5, maxEntries: 100 }).then(
        () => undefined,
        error => error,
      )
      if (failed !== undefined) expect(failed).toBeInstanceOf(VqError)
      expect(readdirSync(around)).toEqual(['inner'])
      for (const entry of readdirSync(to, { recursive: true, withFileTypes: true }))
        expect(entry.isFile() || entry.isDirectory()).toBe(true)
      rmSync(to, { recursive: true })
      mkdirSync(to)
    }),
    { numRuns: 60 },
  )
})

describe('downloadDataset', () => {
  it('knows files by address and hash', () => {
    for (const files of Object.values(remoteDatasets))
      for (const { url: address, md5, name } of files) {
        expect(new URL(address).pathname.endsWith(`/${name}`)).toBe(true)
        expect(md5).toMatch(/^[0-9a-f]{32}$/)
      }
  })

  it('without a network names every file that is missing', async () => {
    const to = join(folder, `${count++}`)
    const error = await downloadDataset('oxford-pet', to, {
      mirror: 'http://127.0.0.1:1',
      retries: 0,
    }).catch(e => e)
    expect(error).toBeInstanceOf(VqDeviceError)
    for (const fact of ['images.tar.gz', '791,918,971 bytes', 'annotations.tar.gz', to, 'md5 95a8c909'])
      expect(error.message).toContain(fact)
  })

  it('fetches, unpacks, and does nothing where all is there', async () => {
    const packed = tarOf([{ path: 'set/a.txt', data: 'hello' }])
    const md5 = (bytes: Buffer): string => createHash('md5').update(bytes).digest('hex')
    const base = url.replace('/file.bin', '')
    const files = [
      {
        name: 'set.tar.gz',
        url: `${base}/set.tar.gz`,
        md5: md5(packed),
        size: packed.length,
        unpacksTo: 'set',
      },
      { name: 'plain.gz', url: `${base}/plain.gz`, md5: md5(body) },
    ]
    answer = (request, response) =>
      ranged(request.url?.endsWith('set.tar.gz') ? packed : body)(request, response)
    const to = join(folder, `${count++}`)
    for (let call = 0; call < 2; call++) {
      await fetchFiles('test', files, to, { retryMs: 1 })
      expect(readFileSync(join(to, 'set/a.txt'), 'utf8')).toBe('hello')
      expect(readFileSync(join(to, 'plain.gz')).equals(body)).toBe(true)
      expect(asked.length).toBe(2)
    }
  })

  it('does not take a file from a mirror that is another', async () => {
    answer = (_, response) => response.end('not MNIST')
    const mirror = url.replace('/file.bin', '')
    await expect(downloadDataset('mnist', join(folder, `${count++}`), { mirror })).rejects.toThrow(
      VqFormatError,
    )
    await expect(downloadDataset('nothing' as 'mnist', folder)).rejects.toThrow(VqConfigError)
  })
})
