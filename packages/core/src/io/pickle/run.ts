import { VqFormatError } from '../../errors.js'
import { Cut, Flaw } from './flaw.js'
import { Machine, type PickleOptions } from './machine.js'
import { opcodes } from './opcodes.js'
import type { PickleValue } from './values.js'

export interface Pickled {
  value: PickleValue
  /** Where the pickle ended. */
  end: number
}

/** Thrown where the bytes end before the pickle: more of the file may follow. */
export class VqCutError extends VqFormatError {}

/**
 * Reads one pickle of protocol 0 to 5 that begins at byte `at`. Nothing is executed: names stand for what the allowlist says,
 * and any other is refused. Time and memory are linear in the length. Throws VqFormatError.
 * Source: Python's pickletools.
 */
export function runPickle(bytes: Uint8Array, name: string, options: PickleOptions, at = 0): Pickled {
  const machine = new Machine(bytes, at, options)
  return naming(name, () => {
    for (;;) {
      const from = machine.at
      const code = machine.byte()
      if (code === stop) return { value: machine.pop(), end: machine.at }
      const step = opcodes.get(code)
      if (step === undefined)
        throw new Flaw('opcodes that data needs', `opcode 0x${code.toString(16)} at byte ${from}`)
      step(machine)
    }
  })
}

const stop = '.'.charCodeAt(0)

/** Runs `work`, and says in its errors which file they are of. */
export function naming<T>(name: string, work: () => T): T {
  try {
    return work()
  } catch (error) {
    if (!(error instanceof Flaw)) throw error
    const { expected, received, remedy } = error
    throw new (error instanceof Cut ? VqCutError : VqFormatError)({
      operation: `reading ${name} as a pickle`,
      expected,
      received,
      remedy: remedy ?? 'The file is damaged, or was not written by pickle: fetch or save it again.',
    })
  }
}
