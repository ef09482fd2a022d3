import { filesOf, runSuite } from './suite.ts'

await runSuite('server', filesOf('server'))
