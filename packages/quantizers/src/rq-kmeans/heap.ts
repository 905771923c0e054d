export interface Move {
  row: number
  to: number
  cost: number
}

/** Moves of which the cheapest comes first, of equally cheap ones that of the lowest row. */
export class Heap {
  private readonly items: Move[]

  /** Takes the array over. */
  constructor(items: Move[]) {
    this.items = items
    for (let i = (items.length >> 1) - 1; i >= 0; i--) this.sink(i)
  }

  push(move: Move): void {
    const { items } = this
    let at = items.push(move) - 1
    for (let above = (at - 1) >> 1; at > 0 && before(move, items[above]); above = (at - 1) >> 1) {
      items[at] = items[above]
      at = above
    }
    items[at] = move
  }

  /** There must be one. */
  pop(): Move {
    const { items } = this
    const first = items[0]
    const last = items.pop() as Move
    if (items.length > 0) {
      items[0] = last
      this.sink(0)
    }
    return first
  }

  private sink(from: number): void {
    const { items } = this
    const move = items[from]
    let at = from
    for (let below = 2 * at + 1; below < items.length; below = 2 * at + 1) {
      if (below + 1 < items.length && before(items[below + 1], items[below])) below++
      if (!before(items[below], move)) break
      items[at] = items[below]
      at = below
    }
    items[at] = move
  }
}

function before(a: Move, b: Move): boolean {
  return a.cost < b.cost || (a.cost === b.cost && a.row < b.row)
}
