import { nativeFailure } from '../native.js'

const told = new Set<string>()

/** Says once per operation that its codes come from tfjs's ops and may differ in near-ties from the native ones. */
export function composedWarning(operation: string): void {
  if (told.has(operation)) return
  told.add(operation)
  console.warn(
    `${operation} is computed with TensorFlow.js operations, because the native core is absent: near-ties may come out ` +
      `differently than with it. ${nativeFailure()?.message ?? ''}`,
  )
}
