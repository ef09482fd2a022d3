import { longFiles, runSuite } from './suite.ts'

await runSuite('long-rest', longFiles('rest'))
