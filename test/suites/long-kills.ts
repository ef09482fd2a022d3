import { longFiles, runSuite } from './suite.ts'

await runSuite('long-kills', longFiles('kills'))
