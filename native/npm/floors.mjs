// What the platform packages may ask of a system, as their READMEs promise: its C library and its C++ library.
import { execFileSync } from 'node:child_process'

/** The newest versions that may be asked for. */
export const floors = { GLIBC: '2.34', GLIBCXX: '3.4.29', CXXABI: '1.3.13' }

const newer = (a, b) => a.localeCompare(b, 'en', { numeric: true }) > 0

/** Symbols in what `objdump -T` lists that are of newer versions, as `hypot (GLIBC_2.35)`. */
export function tooNew(listing) {
  return [...listing.matchAll(/\*UND\*.*\b(GLIBC|GLIBCXX|CXXABI)_([\d.]+)\)?\s+(\S+)$/gm)]
    .filter(([, library, version]) => newer(version, floors[library]))
    .map(([, library, version, symbol]) => `${symbol} (${library}_${version})`)
}

/** The same of a library file. */
export const tooNewIn = path =>
  tooNew(execFileSync('objdump', ['-T', path], { encoding: 'utf8', maxBuffer: 2 ** 26 }))
