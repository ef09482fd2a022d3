import type { Account, EllipsisClient, Tokens } from '../ellipsis/client.ts'
import type { Log } from '../log.ts'
import { withRetries } from '../refresh/failure-policy.ts'
import type { Clock, Random } from '../runtime.ts'

/** Timeout for reading the account; meanwhile the tokens are not stored. */
const IDENTIFY_TIMEOUT_MS = 8000

/** Reads whose tokens they are. If Ellipsis Drive doesn't tell, the account has neither id nor username. */
export type Identify = (tokens: Tokens) => Promise<Account>

export function createIdentify(dependencies: {
  ellipsis: EllipsisClient
  clock: Clock
  random: Random
  log: Log
}): Identify {
  const { ellipsis, clock, random, log } = dependencies
  return async ({ accessToken }) => {
    const answered = new AbortController()
    const timeout = clock.sleep(IDENTIFY_TIMEOUT_MS, answered.signal).then(() => {
      throw new Error(`no answer within ${IDENTIFY_TIMEOUT_MS} ms`)
    })
    const request = withRetries(() => ellipsis.account(accessToken), { clock, random })
    try {
      const account = await Promise.race([request, timeout])
      if (account) return account
    } catch (error) {
      log.warn({ err: error }, 'Ellipsis Drive did not provide the account')
    } finally {
      timeout.catch(() => undefined)
      answered.abort()
    }
    return { id: null, username: '' }
  }
}
