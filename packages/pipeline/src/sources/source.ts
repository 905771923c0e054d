import type { Dataset } from '@vq/models/data'
import type { Captions } from '@vq/models/readers'

export type Modality = 'image' | 'text' | 'video' | 'vector'

/** Something that was left out: an item by its id, or a file that holds none. */
export interface SkippedItem {
  id: string
  reason: string
}

/** An item that could not be read. */
export interface FailedItem extends SkippedItem {
  /** Its number in the source. */
  index: number
}

export interface ReadResult<V = Float32Array | string[]> {
  /**
   * The items that could be read, in the order asked for: texts, or values one item after another, row-major; of images and videos
   * 0..1.
   */
  values: V
  /** Their numbers. */
  indices: Int32Array
  failed: FailedItem[]
}

export interface SourceOptions {
  modality: Modality
  /**
   * Of one item. Images [H, W, C] and videos [T, H, W, C], C 3 or 1 (grey: 0.299 R + 0.587 G + 0.114 B): each frame is scaled to
   * cover H×W and cropped in the centre. Vectors [D], by default as long as the first file's.
   */
  shape?: readonly number[]
  /**
   * The column of a table that holds the items; of a CSV file without a header its number from 0. Several are texts joined by a
   * space. For safetensors and npz the tensor's name. Default: a usual name such as `text`, `image`, `embedding`.
   */
  column?: string | readonly string[]
  /** The column of ids. Default: items are called `row-<n>` from 0. */
  idColumn?: string
  labelColumn?: string
  captionColumn?: string
  /** Whether the first line of a CSV file names the columns. Default: true, but false where `column` is a number. */
  header?: boolean
  /** Between the fields of a CSV file. Default: a tab in .tsv, else the comma, semicolon or tab that separates the columns' names. */
  delimiter?: string
  /** Captions of image files: 'txt' beside them, or a CSV file with the columns `file` and `caption`. */
  captions?: Captions
  /**
   * What a text file is: items by `line`, or one item as a whole (`file`). Default: lines of files that are named themselves, whole
   * files where a folder or a pattern finds them.
   */
  textUnit?: 'line' | 'file'
  /** From frame to frame of a video. Default 1. */
  frameStride?: number
  /** Videos of fewer frames: the last one is repeated, or they count as bad items. Default 'repeat'. */
  shortVideos?: 'repeat' | 'skip'
  /** The program that decodes video files; see `findFfmpeg`. */
  ffmpeg?: string
  /** Milliseconds that one video may take. Default 300,000. */
  timeoutMs?: number
  /** Stops at the first bad item or double id with an error that names it. Default false. */
  strict?: boolean
  /** Told of each bad item once, when it is found. */
  onSkip?: (id: string, reason: string) => void
  /** Images and frames with more pixels are bad items. Default 100 million. */
  maxPixels?: number
  /** Images, or videos, that are handed to the decoders at once. Default 256 images, 2 videos. */
  decodesAtOnce?: number
  /** Texts of larger files, and tensors that can only be read as a whole, stay on disk. Default 256 MiB. */
  memoryBytes?: number
  /** Decoded images and videos that `check` and `dataset` keep. Default 1 GiB. */
  cacheBytes?: number
  signal?: AbortSignal
}

/** Numbered items of one kind, each with a name that stays the same from run to run and from machine to machine. */
export interface Source {
  readonly modality: Modality
  readonly length: number
  /** Of one item; [] for texts. */
  readonly shape: readonly number[]
  readonly ids: readonly string[]
  /** Where items have one: the folder of an image or video, or the label column. */
  readonly labels?: readonly string[]
  readonly captions?: readonly string[]
  /** What is known to be bad so far, and files that are no items. */
  readonly skipped: readonly SkippedItem[]
  /**
   * The items of these numbers, from 0. What cannot be read is in `failed`; with `strict` it throws VqFormatError. Throws VqConfigError
   * for a number without an item, VqAbortError.
   */
  read(indices: ArrayLike<number>, options?: { signal?: AbortSignal }): Promise<ReadResult>
  /** Reads every item once, and gives the source without the bad ones. `close` of either closes both. */
  check(options?: {
    signal?: AbortSignal
    onProgress?: (done: number, total: number) => void
  }): Promise<Source>
  /** Images, videos and vectors for training. An item that cannot be read fails its batch: `check` first. */
  dataset(): Dataset
  close(): Promise<void>
}
