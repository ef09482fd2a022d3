import type { Admin, Store } from '../../db/store.ts'
import { sha256 } from '../crypto/hash.ts'
import type { Clock } from '../runtime.ts'
import type { LoginAttempt, LoginThrottle } from './login-throttle.ts'
import type { Browser } from './sessions.ts'

/** What all ways to sign in have in common. */
interface LoginAttempts {
  /** The name of this browser's own budget; `null`: the admin has not signed in with it. */
  ownOf(adminId: string | undefined, browser: Browser): Promise<string | null>
  /**
   * Records a failed attempt in the audit log.
   * @param admin `undefined`: there is no such account
   * @param note what else the log should say
   */
  recordFailure(
    action: string,
    admin: Admin | undefined,
    browser: Browser,
    attempt: Pick<LoginAttempt, 'wasLast'> & { note?: string },
  ): Promise<void>
}

export function createLoginAttempts({
  store,
  loginThrottle,
  clock,
}: {
  store: Store
  loginThrottle: LoginThrottle
  clock: Clock
}): LoginAttempts {
  return {
    async ownOf(adminId, { device }) {
      if (adminId === undefined || !device) return null
      const secretHash = sha256(device.reveal())
      const isKnown = await store.isDevice({ secretHash, adminId, now: clock.now() })
      return isKnown ? `device ${secretHash}` : null
    },

    async recordFailure(action, admin, { address }, { wasLast, note }) {
      const unknown = admin ? null : await loginThrottle.countUnknown()
      if (unknown?.isEvent === false) return
      const account = admin?.email ?? 'no such account'
      const event = { at: clock.now(), actor: 'system', address, details: account }
      const failed = {
        ...event,
        action,
        details: note === undefined ? account : `${account}: ${note}`,
      }
      const limited = { ...event, action: 'admin.sign_in_slowed' }
      const isFull = unknown?.wasLast === true
      const text = isFull
        ? { details: 'no such account; for a day, others are in the log only' }
        : {}
      await store.addEvents([failed, ...(wasLast || isFull ? [{ ...limited, ...text }] : [])])
    },
  }
}
