import { filesOf, runSuite } from './suite.ts'

await runSuite('browser', filesOf('browser'))
