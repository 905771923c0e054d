import { describe, expectConfig, expectInteger, type tf, VqConfigError } from '@vq/core'
import { Module } from '@vq/core/nn'
import { BaseDecoder, BaseEncoder, type EncodeOptions, type EncoderOutput } from '@vq/encoders'
import type { QuantizeOptions, QuantizerOutput } from '@vq/quantizers'

/** A BaseEncoder, or any module from inputs to latents [..., D]. */
export type EncoderPart = Module & {
  forward(x: tf.Tensor, options?: EncodeOptions): tf.Tensor | EncoderOutput
}
/** A BaseDecoder, or any module from latents to what the loss compares. */
export type DecoderPart = Module & { forward(z: tf.Tensor): tf.Tensor }
/** Any quantizer that trains; of an RQKMeans, `rqKMeans.toQuantizer()`. */
export type QuantizerPart = Module & {
  readonly dim: number
  forward(z: tf.Tensor, options?: QuantizeOptions): QuantizerOutput
  encode(z: tf.Tensor, options?: QuantizeOptions): tf.Tensor
  decode(indices: tf.Tensor): tf.Tensor
  readonly ready?: boolean
  initialize?(vectors: tf.Tensor): Promise<void>
}

/** Throws VqConfigError unless `part` is a module that can do all of `methods`. */
export function expectPart(name: string, part: unknown, methods: readonly string[]): void {
  const missing = methods.filter(
    m => typeof part !== 'object' || part === null || typeof Reflect.get(part, m) !== 'function',
  )
  if (part instanceof Module && missing.length === 0) return
  const fitted = typeof part === 'object' && part !== null && 'toQuantizer' in part
  throw new VqConfigError({
    operation: 'ComposedVQVAE',
    expected: `${name} to be a module with ${methods.join(', ')}`,
    received: `${describe(part)}${missing.length > 0 ? ` without ${missing.join(', ')}` : ''}`,
    remedy: fitted ? 'Pass its toQuantizer().' : 'Pass an instance that extends Module.',
  })
}

/** Width of the latents that the encoder gives: what was said, or what it says itself, or the quantizer's. */
export function encoderWidth(encoder: EncoderPart, given: number | undefined, dim: number): number {
  if (given === undefined) return encoder instanceof BaseEncoder ? encoder.embeddingDim : dim
  expectInteger('ComposedVQVAE', 'encoderDim', given, 1)
  return given
}

/** Width of the latents that the decoder takes. */
export function decoderWidth(decoder: DecoderPart, given: number | undefined, dim: number): number {
  if (given === undefined) return decoder instanceof BaseDecoder ? (decoder.inputShape.at(-1) ?? dim) : dim
  expectInteger('ComposedVQVAE', 'decoderDim', given, 1)
  return given
}

/** The latents in what an encoder gave. */
export function latentsIn(output: tf.Tensor | EncoderOutput, latents: 'embedding' | 'sequence'): tf.Tensor {
  if ('shape' in output) return output
  const found = output[latents]
  expectConfig(
    found !== undefined,
    'ComposedVQVAE.encode',
    `an encoder that gives a ${latents}`,
    Object.keys(output),
    "Pass { latents: 'embedding' }, or an encoder with vectors per position.",
  )
  return found
}
