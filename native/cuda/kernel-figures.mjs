// Reads what `ptxas -v` prints of every kernel.

/** [{ name, architecture, registers, spilled, stack, shared }]; bytes, but for the registers. */
export function kernelsIn(log) {
  const kernels = []
  let now
  for (const line of log.split('\n')) {
    const entry = /Compiling entry function '(\S+)' for '(\S+)'/.exec(line)
    if (entry) {
      now = { name: shortName(entry[1]), architecture: entry[2] }
      continue
    }
    if (now === undefined) continue
    const memory = /(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads/.exec(line)
    if (memory)
      Object.assign(now, { stack: Number(memory[1]), spilled: Number(memory[2]) + Number(memory[3]) })
    const used = /Used (\d+) registers/.exec(line)
    if (!used) continue
    const shared = Number(/(\d+) bytes smem/.exec(line)?.[1] ?? 0)
    kernels.push({ ...now, registers: Number(used[1]), shared })
    now = undefined
  }
  return kernels
}

// "RestSums" of _ZN2vq3gpu10run_kernelINS0_11ElementwiseINS0_8RestSumsEEEEEvT_, "ResidualLoop 128 64" where whole numbers
// follow; others keep their mangled name.
function shortName(mangled) {
  const hopper = /^_ZN2vq3gpu11hopper_scanILb([01])E/.exec(mangled)
  if (hopper) return hopper[1] === '1' ? 'HopperScanResident' : 'HopperScan'
  const begin = /^_ZN2vq3gpu(?:10run_kernel|16run_large_kernel)I/.exec(mangled)?.[0]
  if (begin === undefined) return mangled
  const names = []
  let rest = mangled.slice(begin.length)
  while (rest) {
    const length = /^(?:NS0_|I|N)*(\d+)/.exec(rest)
    if (!length) break
    const from = length[0].length
    names.push(rest.slice(from, from + Number(length[1])))
    rest = rest.slice(from + Number(length[1]))
  }
  return [names.at(-1), ...[...rest.matchAll(/Li(\d+)E/g)].map(m => m[1])].join(' ')
}
