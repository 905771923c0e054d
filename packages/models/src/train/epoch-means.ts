/** Means of scalars over the samples of an epoch; the state is plain JSON. */
export class EpochMeans {
  state: { samples: number; sums: Record<string, number> } = { samples: 0, sums: {} }

  add(scalars: Readonly<Record<string, number>>, samples: number): void {
    const { sums } = this.state
    for (const [name, value] of Object.entries(scalars)) sums[name] = (sums[name] ?? 0) + value * samples
    this.state.samples += samples
  }

  /** The means so far; starts over. */
  take(): Record<string, number> {
    const { samples, sums } = this.state
    this.state = { samples: 0, sums: {} }
    return Object.fromEntries(Object.entries(sums).map(([name, sum]) => [name, sum / samples]))
  }
}
