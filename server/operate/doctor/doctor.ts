import type { Config } from '../../config/config.ts'
import { errorMessage } from '../messages.ts'
import { problem } from './check.ts'
import type { Check, CheckContext, Finding } from './check.ts'
import { dataChecks } from './data-checks.ts'
import { processChecks } from './process-checks.ts'
import { publicChecks } from './public-checks.ts'
import { upstreamChecks } from './upstream-checks.ts'

const checks: Record<string, Check> = {
  ...dataChecks,
  ...processChecks,
  ...upstreamChecks,
  ...publicChecks,
}

/** Checks this installation and says how to fix each problem. Changes nothing. */
export async function runChecks(
  config: Config,
  runtime: CheckContext['runtime'],
): Promise<Finding[]> {
  const findings: Finding[] = []
  for (const [name, check] of Object.entries(checks)) {
    const result = await check({ ...config, runtime }).catch((error: unknown) => {
      const fix = findings.some(({ status }) => status === 'problem')
        ? 'Fix the problems above first.'
        : 'Fix the cause named here, then run `doctor` again.'
      return problem(`the check failed: ${errorMessage(error)}`, fix)
    })
    findings.push({ check: name, ...result })
  }
  return findings
}
