import { fuzz } from './agree.js'
import { windows } from './windows.calls.js'

fuzz(windows)
