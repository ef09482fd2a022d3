import { errorCode } from '../../ellipsis/transport.ts'
import type { Config } from '../../config/config.ts'
import type { Runtime } from '../../runtime.ts'

/** What one check found. `warning`: it works, but may fail later, or could not be determined. */
export interface Finding {
  check: string
  status: 'ok' | 'warning' | 'problem'
  finding: string
  /** What to do; `null`: nothing. */
  fix: string | null
}

export type CheckResult = Omit<Finding, 'check'>

/** The installation that is checked. */
export type CheckContext = Config & { runtime: Pick<Runtime, 'clock' | 'fetch'> }

/** Checks one thing and changes nothing. An error it throws is reported as a problem. */
export type Check = (context: CheckContext) => Promise<CheckResult>

export const ok = (finding: string): CheckResult => ({ status: 'ok', finding, fix: null })
export const warning = (finding: string, fix: string): CheckResult => ({
  status: 'warning',
  finding,
  fix,
})
export const problem = (finding: string, fix: string): CheckResult => ({
  status: 'problem',
  finding,
  fix,
})

const TIMEOUT_MS = 10_000
const MAX_BODY_LENGTH_CHARS = 100_000

/** Options of a check's requests: a timeout, and redirects are not followed. */
export const requestOptions = () => ({
  signal: AbortSignal.timeout(TIMEOUT_MS),
  redirect: 'manual' as const,
})

/** Requests a URL. Status 0: no response, because of `failure`. `json`: the body, if it is JSON. */
export async function request(
  fetchFn: typeof fetch,
  url: string,
  headers: Record<string, string> = {},
) {
  try {
    const response = await fetchFn(url, { ...requestOptions(), headers })
    const text = (await response.text()).slice(0, MAX_BODY_LENGTH_CHARS)
    const isJson = response.headers.get('content-type')?.includes('json') === true
    return {
      status: response.status,
      headers: response.headers,
      json: isJson ? (JSON.parse(text) as { issuer?: string }) : null,
      failure: null,
    }
  } catch (error) {
    return { status: 0, headers: new Headers(), json: null, failure: errorCode(error) }
  }
}
