import { longFiles, runSuite } from './suite.ts'

await runSuite('long-processes', longFiles('processes'))
