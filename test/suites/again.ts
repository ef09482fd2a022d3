/**
 * `npm run test:again`: what failed in the last run, once more and alone. On a busy machine a test can fail by
 * time alone; this tells such a failure from a fault. More than a few failures are faults. If a suite ended early,
 * the files that it did not get to follow.
 */
import t from 'tap'
import { lastResults, runFiles } from './suite.ts'

const MAX_FILES = 3

const { failed, notRun } = lastResults()
if (failed.length === 0) t.bailout('No test failed, but the run did.')
if (failed.length > MAX_FILES) t.bailout(`Too many files failed: ${failed.join(' ')}`)
t.comment(`Once more: ${failed.join(' ')}`)
if (notRun.length > 0) t.comment(`For the first time: ${notRun.join(' ')}`)
await runFiles([...failed, ...notRun])
