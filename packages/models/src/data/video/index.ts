export { videoClips } from './clips.js'
export { findFfmpeg } from './ffmpeg.js'
export { type VideoFolder, type VideoFolderOptions, videoFolder } from './video-folder.js'
