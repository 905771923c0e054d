export type { Preview, ReportInput, ReportSummary } from './input.js'
export { writeReport } from './write-report.js'
