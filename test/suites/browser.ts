import { filesOf, runFiles } from './suite.ts'

await runFiles(filesOf('browser'))
