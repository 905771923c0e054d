/** IEEE half precision to float32, exactly. */
export function fromHalf(bits: Uint16Array): Float32Array {
  return Float32Array.from(bits, h => {
    const sign = h & 0x8000 ? -1 : 1
    const exponent = (h >> 10) & 31
    const fraction = h & 1023
    if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN
    return sign * (exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25))
  })
}

/** bfloat16 to float32, exactly: the upper half of its bits. */
export function fromBrain(bits: Uint16Array): Float32Array {
  const words = Uint32Array.from(bits, b => b * 65536)
  return new Float32Array(words.buffer)
}
