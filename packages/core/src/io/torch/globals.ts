import { plainGlobals } from '../pickle/load.js'
import type { PickleGlobal } from '../pickle/values.js'
import { rebuilders } from './rebuild.js'
import { typeGlobals } from './types.js'

/** What a checkpoint of `fileSize` bytes may mention. */
export function torchGlobals(fileSize: number): Map<string, PickleGlobal> {
  return new Map([...plainGlobals, ...typeGlobals, ...rebuilders(fileSize)])
}

const remedies: readonly (readonly [RegExp, string])[] = [
  [
    /_rebuild_sparse|sparse_co[ol]|_get_layout|sparse_cs/,
    'Sparse tensors are not read: save `tensor.to_dense()`.',
  ],
  [
    /_rebuild_qtensor|\.Q\w+Storage|per_(tensor|channel)_affine/,
    'Quantized tensors are not read: save `tensor.dequantize()`.',
  ],
  [/nested/i, 'Nested tensors are not read: save `tensor.unbind()`, a list of tensors.'],
  [/_rebuild_meta/, 'Tensors on the meta device hold no values: save them from a real device.'],
  [
    /_rebuild_wrapper_subclass|DTensor|device_mesh|placement_types/i,
    'Save plain tensors: `tensor.full_tensor()` of a distributed one.',
  ],
  [/_load_from_bytes/, 'Save with `torch.save` instead of `pickle.dump`.'],
  [/_rebuild_device_tensor|_rebuild_xla/, 'Save `tensor.cpu()`.'],
]

/** What to do about a name that a checkpoint may not mention. */
export function remedyFor(name: string): string {
  const special = remedies.find(([pattern]) => pattern.test(name))
  return (
    special?.[1] ??
    `Save tensors and plain values instead of ${name}: \`torch.save(model.state_dict(), path)\` for a module, numbers and strings for the rest.`
  )
}
