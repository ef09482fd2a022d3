import type { Config } from '../../config/config.ts'
import { errorMessage } from '../messages.ts'
import { problem, warning } from './check.ts'
import type { Check, CheckContext, Finding } from './check.ts'
import { dataChecks } from './data-checks.ts'
import { databaseChecks } from './database-checks.ts'
import { eventChecks } from './event-checks.ts'
import { processChecks } from './process-checks.ts'
import { providerChecks } from './provider-checks.ts'
import { publicChecks } from './public-checks.ts'
import { upstreamChecks } from './upstream-checks.ts'

const otherChecks: Record<string, Check> = {
  ...processChecks,
  ...upstreamChecks,
  ...publicChecks,
  ...providerChecks,
  ...eventChecks,
}

const STORE = ['data directory', 'database']
/** A check that fails after a problem of one of these is no problem of its own. */
const PREREQUISITES: Record<string, string[]> = {
  ...{ 'file system': STORE, 'disk space': STORE, database: STORE },
  ...{ 'encryption keys': STORE, 'second factors': STORE, 'sessions of apps': STORE },
  webhooks: STORE,
  ...{ durability: STORE, 'connection to the database': STORE, 'clock of the database': STORE },
  'running brokers': STORE,
  clock: ['Ellipsis Drive'],
  ...{ metadata: ['public URL'], certificate: ['public URL'] },
}

/** Checks this installation and says how to fix each problem. Changes nothing. */
export async function runChecks(
  config: Config,
  runtime: CheckContext['runtime'],
): Promise<Finding[]> {
  const findings: Finding[] = []
  const storeChecks = config.database ? databaseChecks : dataChecks
  for (const [name, check] of Object.entries({ ...storeChecks, ...otherChecks })) {
    const result = await check({ ...config, runtime }).catch((error: unknown) => {
      const isConsequence = findings.some(
        ({ check, status }) => status === 'problem' && PREREQUISITES[name]?.includes(check),
      )
      const isKnown = findings.some(({ finding }) => finding.includes(errorMessage(error)))
      return isConsequence
        ? warning(
            isKnown ? 'not checked' : `not checked: ${errorMessage(error)}`,
            'Fix the problems above first.',
          )
        : problem(
            `the check failed: ${errorMessage(error)}`,
            'Fix the cause named here, then run `doctor` again.',
          )
    })
    findings.push({ check: name, ...result })
  }
  return findings
}
