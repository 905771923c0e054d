import { inflateRawSync } from 'node:zlib'
import type { Rng } from '../fuzz/rng.js'
import { type Lie, zipWith } from '../zip-lies.js'
import { mutate } from './mutate.js'

/** The members of a valid archive, by its directory. */
function membersOf(bytes: Buffer): Lie[] {
  const end = bytes.lastIndexOf('PK\x05\x06', undefined, 'latin1')
  const members: Lie[] = []
  let at = bytes.readUInt32LE(end + 16)
  for (let left = bytes.readUInt16LE(end + 10); left > 0; left--) {
    const [nameLength, extra, comment] = [28, 30, 32].map(field => bytes.readUInt16LE(at + field))
    const local = bytes.readUInt32LE(at + 42)
    const from = local + 30 + bytes.readUInt16LE(local + 26) + bytes.readUInt16LE(local + 28)
    const packed = bytes.subarray(from, from + bytes.readUInt32LE(at + 20))
    const deflated = bytes.readUInt16LE(at + 10) === 8
    const name = bytes.toString('utf8', at + 46, at + 46 + nameLength)
    members.push({ name, data: deflated ? inflateRawSync(packed) : packed, deflated })
    at += 46 + nameLength + extra + comment
  }
  return members
}

type Change = (bytes: Buffer, rng: Rng, others: readonly Buffer[]) => Buffer

/** Changes of archives: of their bytes, of a member's bytes with sizes and checksums put right, of what headers say. */
export function mutateZip(change: (name: string) => Change): Change {
  return (bytes, rng, others) => {
    const kind = rng.int(0, 9)
    if (kind <= 2) return mutate(bytes, rng, others)
    const members = membersOf(bytes)
    if (members.length === 0) return mutate(bytes, rng, others)
    const member = rng.pick(members)
    if (kind <= 7) {
      const wanted = rng.chance(0.6) ? (members.find(({ name }) => name.endsWith('.pkl')) ?? member) : member
      const peers = others
        .map(other => membersOf(other))
        .flatMap(all => all.map(({ data }) => Buffer.from(data)))
      wanted.data = change(wanted.name)(Buffer.from(wanted.data), rng, peers)
    }
    if (kind >= 7) lie(member, members, rng)
    const count = rng.chance(0.05) ? { count: rng.int(0, members.length + 1) } : {}
    return zipWith(members, { ...count, ...(rng.chance(0.03) ? { shift: rng.int(-60, 60) } : {}) })
  }
}

function lie(member: Lie, members: Lie[], rng: Rng): void {
  const size = member.data.length
  const number = (): number =>
    rng.pick([0, 1, size - 1, size + 1, 2 * size, 1000 * size, 0xfffffffe, 0xffffffff].filter(n => n >= 0))
  switch (rng.int(0, 7)) {
    case 0:
      member.size = number()
      member.localSize = rng.chance(0.5) ? member.size : size
      break
    case 1:
      member.packed = number()
      break
    case 2:
      member.offset = rng.int(0, 2000)
      break
    case 3:
      member.name = rng.pick([
        '',
        '../x',
        'data.pkl',
        'archive/data/0',
        'a/byteorder',
        'a.npy',
        rng.pick(members).name,
      ])
      break
    case 4:
      member.method = rng.int(0, 12)
      break
    case 5:
      member.deflated = !member.deflated
      break
    case 6:
      member.sum = rng.pick([0, 1])
      break
    default:
      members.splice(rng.int(0, members.length), rng.int(0, 1), { ...rng.pick(members) })
  }
}
