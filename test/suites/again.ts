/**
 * `npm run test:again`: what failed in the last run, once more and alone. On a busy machine a test can fail by
 * time alone; this tells such a failure from a fault. More than a few failures are faults.
 */
import t from 'tap'
import { failedFiles, runFiles } from './suite.ts'

const MAX_FILES = 3

const files = failedFiles()
if (files.length === 0) t.bailout('No test failed, but the run did.')
if (files.length > MAX_FILES) t.bailout(`Too many files failed: ${files.join(' ')}`)
t.comment(`Once more: ${files.join(' ')}`)
await runFiles(files)
