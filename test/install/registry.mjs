// A registry for tests, `node registry.mjs UPSTREAM TARBALL …`: serves packed packages as if they had been published, sends every
// other question on to npm's, prints its address, and ends when it is killed.
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { createReadStream, readFileSync } from 'node:fs'
import { createServer } from 'node:http'

/** The package.json within a tarball. */
function manifestOf(path) {
  return JSON.parse(execFileSync('tar', ['-xzOf', path, 'package/package.json'], { encoding: 'utf8' }))
}

/** What a registry knows of a package: one version, its integrity and where its tarball is. */
function documentOf(manifest, path, base) {
  const { name, version } = manifest
  const integrity = `sha512-${createHash('sha512').update(readFileSync(path)).digest('base64')}`
  const shasum = createHash('sha1').update(readFileSync(path)).digest('hex')
  const tarball = `${base}/tarballs/${encodeURIComponent(name)}.tgz`
  const versions = { [version]: { ...manifest, dist: { tarball, integrity, shasum } } }
  return { _id: name, name, 'dist-tags': { latest: version }, versions }
}

/** Serves the tarballs on a port of its own; returns its address. */
async function startRegistry(paths, upstream) {
  const packed = new Map(
    paths.map(path => [manifestOf(path), path]).map(([m, path]) => [m.name, { m, path }]),
  )
  const server = createServer((request, response) => {
    answer(request, response).catch(error => {
      response.writeHead(502)
      response.end(`${error}`)
    })
  })
  async function answer({ url, headers }, response) {
    const base = `http://127.0.0.1:${server.address().port}`
    const name = decodeURIComponent(url.slice(1).split('?')[0])
    if (name.startsWith('tarballs/')) {
      const wanted = decodeURIComponent(name.slice('tarballs/'.length)).replace(/\.tgz$/, '')
      response.writeHead(200, { 'content-type': 'application/octet-stream' })
      return createReadStream(packed.get(wanted).path).pipe(response)
    }
    if (name.startsWith('@vq/')) {
      // With a version or a tag behind the name one version is asked for.
      const [scope, rest, version] = name.split('/')
      const own = packed.get(`${scope}/${rest}`)
      const all = own && documentOf(own.m, own.path, base)
      const said = version && all ? all.versions[all['dist-tags'][version] ?? version] : all
      response.writeHead(said ? 200 : 404, { 'content-type': 'application/json' })
      return response.end(JSON.stringify(said ?? { error: 'not found' }))
    }
    const reply = await fetch(new URL(url, upstream), { headers: { accept: headers.accept ?? '*/*' } })
    response.writeHead(reply.status, {
      'content-type': reply.headers.get('content-type') ?? 'application/json',
    })
    response.end(Buffer.from(await reply.arrayBuffer()))
  }
  await new Promise(resolve => server.listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${server.address().port}/`
}

const [upstream, ...paths] = process.argv.slice(2)
console.log(await startRegistry(paths, upstream))
