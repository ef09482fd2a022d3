import type { Config } from '../../config/config.ts'
import type { Runtime } from '../../runtime.ts'

/** What one check found. `warning`: it works, but may not for long, or couldn't be told. */
export interface Finding {
  check: string
  status: 'ok' | 'warning' | 'problem'
  finding: string
  /** What to do; `null`: nothing. */
  mend: string | null
}

/** What a check tells. */
export type Told = Omit<Finding, 'check'>

/** Who is examined. */
export type Patient = Config & { runtime: Pick<Runtime, 'clock' | 'fetch'> }

/** Looks at one thing, and changes nothing. What it throws is told as a problem. */
export type Check = (patient: Patient) => Promise<Told>

export const ok = (finding: string): Told => ({ status: 'ok', finding, mend: null })
export const warning = (finding: string, mend: string): Told => ({
  status: 'warning',
  finding,
  mend,
})
export const problem = (finding: string, mend: string): Told => ({
  status: 'problem',
  finding,
  mend,
})
