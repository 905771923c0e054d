export { type DownloadOptions, download } from './download.js'
export { type ExtractOptions, extractTar } from './extract.js'
export { type DownloadDatasetOptions, downloadDataset, type RemoteFile, remoteDatasets } from './manifest.js'
