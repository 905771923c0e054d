// tfjs-core's own specs on vq-cpu. --filter REGEX runs some of them, --failures prints each failure in one line.
import { createRequire } from 'node:module'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import { assertBackend } from './backend.mjs'
import { bundle } from './bundle.mjs'
import { leftOut } from './left-out.mjs'

// What tfjs-core 4.22 ships for a Node environment, and how many of them it switches off itself. Fewer is no run.
const specCount = 4230
const switchedOff = 5

const { values: options } = parseArgs({
  options: { filter: { type: 'string' }, failures: { type: 'boolean', default: false } },
})
process.env.VQ_NATIVE_PATH ??= fileURLToPath(new URL('../../native/build/Release/vq.node', import.meta.url))

const jasmine = createRequire(import.meta.url)('jasmine-core').boot()
const env = jasmine.getEnv()
const filter = new RegExp(options.filter ?? '')
const known = new Set()
let found = 0
let left = 0
env.configure({
  random: false,
  specFilter: spec => {
    const name = spec.getFullName()
    known.add(name)
    found++
    if (name in leftOut) left++
    return !(name in leftOut) && filter.test(name)
  },
})

const counts = { passed: 0, failed: 0 }
env.addReporter({
  specDone: ({ status, fullName, failedExpectations }) => {
    if (status in counts) counts[status]++
    if (status !== 'failed') return
    const message = failedExpectations.map(f => f.message).join(' | ')
    say(
      options.failures
        ? `${fullName}: ${message.replace(/\s+/g, ' ').slice(0, 200)}`
        : `${fullName}\n    ${message}`,
    )
  },
  suiteDone: ({ fullName, failedExpectations }) => {
    for (const { message } of failedExpectations) problem(`${fullName}: ${message}`)
  },
})
const problems = []
const problem = text => problems.push(text)

// What the specs print (warnings that they provoke, profiles) says nothing about us.
const { log: say } = console
console.log = console.warn = () => {}
const suite = await import(pathToFileURL(await bundle()).href)
assertBackend(suite)
const { overallStatus } = await env.execute()

for (const name of Object.keys(leftOut))
  if (!known.has(name)) problem(`left out, but there is no such spec: ${name}`)
if (left > 10) problem(`${left} specs are left out, at most 10 may be`)
if (options.filter === undefined && found !== specCount)
  problem(`expected ${specCount} specs, found ${found}`)
const run = counts.passed + counts.failed
if (run === 0) problem('no spec was run')
const due = specCount - switchedOff - left
if (options.filter === undefined && run !== due) problem(`expected ${due} specs to run, ${run} did`)
if (counts.failed === 0 && overallStatus === 'failed') problem('jasmine reports a failure outside the specs')
for (const text of problems) console.error(text)
say(
  `tfjs-core's specs on vq-cpu: ${run} run, ${counts.passed} passed, ${counts.failed} failed, ${left} left out`,
)
process.exitCode = counts.failed === 0 && problems.length === 0 ? 0 : 1
