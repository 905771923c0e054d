// What the data sets of @vq/models/data are read with: for programs that treat single files, rows and failures themselves.
export { type Captions, captionsOf } from '../data/captions.js'
export { type DecodeOptions, decodeImage, decodeReason, Refused } from '../data/decode.js'
export { mapBounded } from '../data/files/bounded.js'
export { ByteCache } from '../data/files/byte-cache.js'
export { FileRanges, type Range } from '../data/files/file-ranges.js'
export { Gate } from '../data/files/gate.js'
export { copyScaled } from '../data/images/scale.js'
export { decodeSmallJpeg } from '../data/jpeg/decode-small.js'
export { type FolderScan, imageFileEndings, type Skipped, scanFiles } from '../data/scan.js'
export { type CsvOptions, type CsvRow, csvByteRows, parseByteRows } from '../data/text/csv.js'
export { findLines, type Lines, readLineBytes } from '../data/text/lines.js'
export { readRows } from '../data/vectors.js'
export {
  type FindVideosOptions,
  type FoundVideos,
  findVideos,
  type Video,
  videoFileEndings,
  videosOf,
} from '../data/video/find-videos.js'
export { loadSharp, type SharpFactory } from '../image/sharp.js'
