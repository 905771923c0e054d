import { openSync, writeSync } from 'node:fs'
import { Worker } from 'node:worker_threads'
import { type Call, show } from './call.js'

/**
 * Ends the process where one call takes longer than a minute: a loop without end leaves a test runner in the same thread no
 * chance to say which call it was. Each call is noted for the thread that watches, and with VQ_FUZZ_LOG in a file too, which
 * outlives a crash.
 */
const patience = 60_000
const longest = 1 << 16
const note = new Uint8Array(new SharedArrayBuffer(longest))
const state = new Int32Array(new SharedArrayBuffer(12)) // running, number of the call, length of its note
const encoder = new TextEncoder()

const source = `
  const { workerData: { note, state, patience } } = require('node:worker_threads')
  let last = -1
  setInterval(() => {
    if (state[0] === 1 && state[1] === last) {
      require('node:fs').writeSync(2, 'this call does not end: ' + Buffer.from(note.slice(0, state[2])) + '\\n')
      process.kill(process.pid, 'SIGKILL')
    }
    last = state[1]
  }, patience)`
let worker: Worker | undefined

/** Notes that a call begins; call what it returns when the call has ended. */
export function watched(backend: string, name: string, call: Call): () => void {
  return watchedText(`${backend} ${name} ${show(call)}`)
}

/** The same for anything else that a text can repeat. */
export function watchedText(text: string): () => void {
  if (worker === undefined) {
    worker = new Worker(source, { eval: true, workerData: { note, state, patience } })
    worker.unref()
  }
  state[1]++
  state[2] = encoder.encodeInto(text, note).written
  state[0] = 1
  if (log !== undefined) writeSync(log, `${Buffer.from(note.slice(0, state[2]))}\n`)
  return () => {
    state[0] = 0
  }
}

const path = process.env.VQ_FUZZ_LOG
const log = path ? openSync(`${path}.${process.pid}`, 'w') : undefined
