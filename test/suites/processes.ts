import { filesOf, runSuite } from './suite.ts'

await runSuite('processes', filesOf('processes'))
