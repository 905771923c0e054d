import type { BaseEncoder } from '../base/encoder.js'

/**
 * What each name makes, of which options. One's own name joins the types by declaration merging:
 * `declare module '@vq/encoders' { interface EncoderTypes { mine: { options: MyOptions; encoder: Mine } } }`.
 */
// biome-ignore lint/suspicious/noEmptyInterface: filled below
export interface EncoderTypes {}

/** A configuration of an encoder: its name and its options. */
export type EncoderConfig<T extends keyof EncoderTypes = keyof EncoderTypes> = {
  [K in T]: { type: K } & (EncoderTypes[K] extends { options: infer O } ? O : never)
}[T]

/** What a name makes. */
export type EncoderOf<T extends keyof EncoderTypes> = EncoderTypes[T] extends {
  encoder: infer E extends BaseEncoder
}
  ? E
  : BaseEncoder
