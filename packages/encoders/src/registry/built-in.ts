import type { BaseEncoder } from '../base/encoder.js'

/** What each name makes; a factory takes its options in camel case. */
export const builtInEncoders: Readonly<Record<string, (options: never) => BaseEncoder>> = {}
