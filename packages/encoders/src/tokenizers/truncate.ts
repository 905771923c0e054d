/**
 * How many tokens of one text, or of each of two, are kept so that together they are at most `room`: the longer one loses
 * first, as in Python's library ("longest_first"). `limit` is the room with the special tokens'.
 */
export function keptTokens(first: number, second: number, room: number, limit: number): [number, number] {
  if (first + second <= room) return [first, second]
  if (second === 0) return [Math.min(first, room), 0]
  // Each alone first, as there: of two that are both longer, the second gets the odd one.
  first = Math.min(first, limit)
  second = Math.min(second, limit)
  const swapped = first > second
  let [short, long] = swapped ? [second, first] : [first, second]
  long = short > room ? short : Math.max(short, room - short)
  if (short + long > room) {
    short = Math.floor(room / 2)
    long = short + (room % 2)
  }
  return swapped ? [long, short] : [short, long]
}
