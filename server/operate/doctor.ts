import type { Config } from '../config/config.ts'
import { reasonOf } from './backup.ts'
import { dataChecks } from './doctor/data.ts'
import { problem } from './doctor/finding.ts'
import type { Check, Finding, Patient } from './doctor/finding.ts'
import { publicChecks } from './doctor/public.ts'
import { upstreamChecks } from './doctor/upstream.ts'

export type { Finding } from './doctor/finding.ts'

const checks: Record<string, Check> = { ...dataChecks, ...upstreamChecks, ...publicChecks }

/** What is wrong with this installation, and the mend of each. Changes nothing. */
export async function examine(config: Config, runtime: Patient['runtime']): Promise<Finding[]> {
  const findings: Finding[] = []
  for (const [check, look] of Object.entries(checks)) {
    const told = await look({ ...config, runtime }).catch((error: unknown) => {
      const mend = findings.some(({ status }) => status === 'problem')
        ? 'Mend what is told before.'
        : 'See to what this names, and run `doctor` again.'
      return problem(`it could not be looked at: ${reasonOf(error)}`, mend)
    })
    findings.push({ check, ...told })
  }
  return findings
}
