import { execFileSync } from 'node:child_process'
import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll } from 'vitest'

const at = (path: string): string => fileURLToPath(new URL(`../../../native/${path}`, import.meta.url))

/** The tests of the file or suite find the emulated device library, or the one that VQ_TEST_CUDA_PATH names. */
export function useDeviceLibrary(): void {
  beforeAll(() => {
    process.env.VQ_CUDA_PATH = process.env.VQ_TEST_CUDA_PATH || emulatedLibrary
  })
  afterAll(() => {
    delete process.env.VQ_CUDA_PATH
  })
}

/** The device library whose kernels run on the processor. */
export const emulatedLibrary = at('build/Release/libvq_emulated.so')
/** The one for GPUs, where it was built. */
export const builtLibrary = at('cuda/build/libvq_cuda.so')

/** A folder for libraries of a test's own. */
export const folder = mkdtempSync(join(tmpdir(), 'vq-cuda-'))

/** Compiles C against vq/backend.h into a library; returns its path. */
export function stubLibrary(name: string, source: string): string {
  const path = join(folder, `${name}.so`)
  const code = join(folder, `${name}.c`)
  writeFileSync(code, `#include <string.h>\n#include "vq/backend.h"\n${source}`)
  execFileSync('cc', ['-shared', '-fPIC', '-Wall', '-Werror', '-I', at('include'), code, '-o', path])
  return path
}

/** A library of this interface whose device_count answers `count`, and device_info what is given. */
export function answeringLibrary(name: string, code: number, text: string, major: number): string {
  return stubLibrary(
    name,
    `
static const char* last_error(void) { return "${text}"; }
static int device_count(int32_t* n, vq_versions* v) { *n = 1; v->driver = 13000; v->runtime = 13000; return ${code}; }
static int device_info(int32_t d, vq_device_info* i) { (void)d; memset(i, 0, sizeof *i); i->compute_major = ${major}; return 0; }
const vq_backend* vq_backend_open(uint32_t version) {
  static vq_backend t;
  (void)version;
  t.version = VQ_BACKEND_VERSION, t.size = sizeof t, t.name = "stub";
  t.last_error = last_error, t.device_count = device_count, t.device_info = device_info;
  return &t;
}`,
  )
}

/** A library of two devices, of which the first fails with `text` when it is opened and the second may, too. */
export function twoDeviceLibrary(name: string, text: string, second: number): string {
  return stubLibrary(
    name,
    `
static const char* last_error(void) { return "${text}"; }
static int device_count(int32_t* n, vq_versions* v) { *n = 2; v->driver = 13000; v->runtime = 13000; return 0; }
static int device_info(int32_t d, vq_device_info* i) {
  memset(i, 0, sizeof *i), i->compute_major = 9, strcpy(i->name, d == 0 ? "first" : "second");
  return 0;
}
static int context_create(int32_t d, vq_context** c) {
  static int any;
  *c = (vq_context*)&any;
  return d == 0 ? VQ_ERROR_DEVICE : ${second};
}
const vq_backend* vq_backend_open(uint32_t version) {
  static vq_backend t;
  (void)version;
  t.version = VQ_BACKEND_VERSION, t.size = sizeof t, t.name = "stub";
  t.last_error = last_error, t.device_count = device_count, t.device_info = device_info, t.context_create = context_create;
  return &t;
}`,
  )
}
