/** Every error of VQ says which operation failed, what it expected, what it received, and what to do about it. */
export interface ErrorDetails {
  operation: string
  expected: string
  received: string
  remedy: string
  cause?: unknown
  /** The exact message, where tfjs prescribes one for its kernels; else it is composed of the fields above. */
  message?: string | undefined
}

/** Base of all typed errors. */
export class VqError extends Error {
  readonly operation: string
  readonly expected: string
  readonly received: string
  readonly remedy: string

  constructor(details: ErrorDetails) {
    const { operation, expected, received, remedy, cause, message } = details
    super(
      message ?? `${operation}: expected ${expected}, received ${received}. ${remedy}`,
      cause === undefined ? {} : { cause },
    )
    this.name = new.target.name
    this.operation = operation
    this.expected = expected
    this.received = received
    this.remedy = remedy
  }
}

/** A size, rank or length does not fit. */
export class VqShapeError extends VqError {}
/** An option is missing, unknown or out of its range. */
export class VqConfigError extends VqError {}
/** A value in the data is not usable (NaN, out of range). */
export class VqValueError extends VqError {}
/** A file is not what its name or header claims. */
export class VqFormatError extends VqError {}
/** A device or the native addon is missing or failed. Its remedy ends by naming `doctor()`, which tells what the machine has. */
export class VqDeviceError extends VqError {
  constructor(details: ErrorDetails) {
    super({ ...details, remedy: `${details.remedy} doctor() of @vq/core tells what this machine has.` })
  }
}
/** Memory ran out, or a request is larger than allowed. */
export class VqMemoryError extends VqError {}
/** An AbortSignal ended the operation. `name` is `AbortError`, as everywhere in JavaScript. */
export class VqAbortError extends VqError {
  constructor(operation: string, cause?: unknown, remedy = 'Nothing was changed; call again to start over.') {
    super({
      operation,
      expected: 'to run to its end',
      received: 'an abort signal',
      remedy,
      cause,
    })
    this.name = 'AbortError'
  }
}

const byCode: Record<string, typeof VqError> = {
  VQ_SHAPE: VqShapeError,
  VQ_CONFIG: VqConfigError,
  VQ_VALUE: VqValueError,
  VQ_DEVICE: VqDeviceError,
  VQ_MEMORY: VqMemoryError,
}

/** Turns an error thrown by the addon into the typed one; anything else passes through. */
export function fromNative(operation: string, error: unknown): unknown {
  const code = (error as { code?: string } | null)?.code
  const type = code === undefined ? undefined : byCode[code]
  if (type === undefined) return error
  return new type({
    operation,
    expected: 'arguments that the native kernel accepts',
    received: (error as Error).message,
    remedy:
      type === VqMemoryError
        ? 'Use smaller batches or free tensors.'
        : 'Check the shapes and values passed in.',
    cause: error,
  })
}
