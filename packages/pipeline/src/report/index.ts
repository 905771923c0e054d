export {
  bestRuns,
  type ComparedRun,
  type ComparisonInput,
  comparisonFigure,
  comparisonMarkdown,
  type Metric,
  writeComparison,
} from './comparison.js'
export type { Preview, ReportInput, ReportSummary } from './input.js'
export { writeReport } from './write-report.js'
