import { filesOf, runSuite } from './suite.ts'

await runSuite('parts', filesOf('parts'))
