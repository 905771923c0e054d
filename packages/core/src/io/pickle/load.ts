import { openSource } from '../byte-source.js'
import { expectBytes } from '../file-bytes.js'
import { builtins } from './builtins.js'
import type { PickleOptions } from './machine.js'
import { numpy } from './numpy.js'
import { naming, runPickle } from './run.js'
import { mostOf, thaw } from './thaw.js'
import type { Globals } from './values.js'

/** What a pickle may mention unless told otherwise: containers, numbers, and NumPy's arrays and scalars. */
export const plainGlobals: Globals = new Map([...builtins, ...numpy])

/**
 * Reads a Python pickle (protocols 0 to 5) of containers, numbers, strings, bytes, and NumPy arrays and scalars. Nothing in it
 * is executed. Dictionaries become null-prototype objects, or a Map where not all keys are strings; lists and tuples arrays;
 * sets Set; ints beyond 2^53 bigint; bytes Uint8Array; arrays StoredTensor; complex numbers `{ real, imag }`.
 * Python 2's strings become text, in UTF-8 or else Latin-1.
 * Throws VqFormatError for anything else, naming it, and for files that are damaged or made to exhaust memory.
 */
export async function loadPickle(path: string): Promise<unknown> {
  const source = await openSource(path, 'a pickle')
  try {
    return parsePickle(await source.read(0, source.size), path)
  } finally {
    await source.close()
  }
}

/** `loadPickle` for bytes; `source` names them in errors. What follows the pickle is left unread. */
export function parsePickle(
  bytes: Uint8Array,
  source: string,
  options: Pick<PickleOptions, 'most'> = {},
): unknown {
  expectBytes('parsePickle', bytes)
  const { value } = runPickle(bytes, source, { ...options, globals: plainGlobals })
  return naming(source, () => thaw(value, mostOf(bytes.length), object => object.plain()))
}
