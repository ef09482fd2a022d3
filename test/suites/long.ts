import { longFiles, runFiles } from './suite.ts'

await runFiles(longFiles())
