/** Bytes as values 0..1: k/255 in float32. */
export function copyScaled(
  from: Uint8Array,
  start: number,
  to: Float32Array,
  at: number,
  count: number,
): void {
  for (let i = 0; i < count; i++) to[at + i] = from[start + i] / 255
}
