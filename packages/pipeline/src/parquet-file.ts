// The one door to Parquet files, for tables of data and of semantic IDs.
import { open, stat } from 'node:fs/promises'
import type { AsyncBuffer } from 'hyparquet'

/** The bytes of a file for hyparquet, read where they are asked for; no more than the file has, whatever its metadata say. */
export async function parquetFile(path: string): Promise<AsyncBuffer> {
  const { size } = await stat(path)
  return {
    byteLength: size,
    slice: (start, end = size) => heeded(read(path, Math.max(0, start), Math.min(end, size))),
  }
}

async function read(path: string, start: number, end: number): Promise<ArrayBuffer> {
  if (!(end > start)) return new ArrayBuffer(0)
  const file = await open(path, 'r')
  try {
    const bytes = new Uint8Array(end - start)
    for (let done = 0; done < bytes.length; ) {
      const { bytesRead } = await file.read(bytes, done, Math.min(bytes.length - done, 1 << 30), start + done)
      if (bytesRead === 0) throw new Error(`the file ends at ${start + done}`)
      done += bytesRead
    }
    return bytes.buffer
  } finally {
    await file.close()
  }
}

// hyparquet begins to read all columns before it looks at the schema. Where that fails nobody waits for them any more, and the failure
// of one of them would end the process: what hangs on a slice counts as waited for.
function heeded<T>(promise: Promise<T>): Promise<T> {
  const then = promise.then.bind(promise)
  then(undefined, () => {})
  // biome-ignore lint/suspicious/noThenProperty: it still is a promise, whose followers are heeded as well
  promise.then = (fulfilled, rejected) => heeded(then(fulfilled, rejected))
  return promise
}
