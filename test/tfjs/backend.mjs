import { environment } from './environment.mjs'

/**
 * Makes every spec fail that does not run on vq-cpu. Specs that describe no environment (of pure functions, or of the
 * engine with backends of their own) begin on it as well.
 */
export function assertBackend({ engine, getBackend, getKernelsForBackend, setBackend }) {
  if (getKernelsForBackend('cpu').length > 0)
    throw new Error('the bundle holds kernels of tfjs’s own cpu backend')
  beforeEach(() => {
    if (engine().backendName == null) setBackend(environment.backendName)
    expect(getBackend()).withContext('before the spec').toBe(environment.backendName)
  })
  // Specs of the engine reset it at their end: then no backend stands, rather than another one.
  afterEach(() => {
    expect([environment.backendName, null]).withContext('after the spec').toContain(getBackend())
  })
}
