/**
 * How many tokens of one text, or of each of two, are kept so that together they are at most `room`: the longer one loses
 * first, as in Python's library ("longest_first").
 */
export function keptTokens(first: number, second: number, room: number): [number, number] {
  if (first + second <= room) return [first, second]
  if (second === 0) return [Math.min(first, room), 0]
  const swapped = first > second
  let [short, long] = swapped ? [second, first] : [first, second]
  long = short > room ? short : Math.max(short, room - short)
  if (short + long > room) {
    short = Math.floor(room / 2)
    long = short + (room % 2)
  }
  return swapped ? [long, short] : [short, long]
}
