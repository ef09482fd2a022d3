import type { Budget, Hash, Millis, Store } from '../../db/store.ts'
import type { Clock } from '../runtime.ts'
import { SHARED_ADDRESS_LIMIT_FACTOR, networkOf } from '../addresses.ts'
import { sha256 } from '../crypto/hash.ts'
import type { Browser } from './sessions.ts'

/**
 * Limits guesses of passwords and codes, and attempts with passkeys. The budgets are in the store, so they hold across all processes and
 * restarts. A failure counts for the network address and for the account. A browser that the admin has
 * signed in with before has its own budget, and so has a session, so strangers can't lock the admin out by
 * using up the account's (OWASP: "device cookies").
 */

const MINUTE_MS = 60_000
const DAY_MS = 24 * 60 * MINUTE_MS

interface Limit {
  most: number
  windowMs: number
}

/** One address alone can't use up an account's budget. */
const PER_ADDRESS = { most: 10, windowMs: 15 * MINUTE_MS }
const PER_ACCOUNT = { most: 100, windowMs: 60 * MINUTE_MS }
const PER_BROWSER = { most: 10, windowMs: 15 * MINUTE_MS }
/** Of a million possible codes, three are valid at any time. */
const PER_SECOND_FACTOR = { most: 5, windowMs: 15 * MINUTE_MS }
/**
 * At 480 wrong codes a day, someone with the password would guess a code within two years. So after 30 failures,
 * three attempts a day are left. Without the password nobody can cause this.
 */
const SECOND_FACTOR_FAILURES = { most: 30, windowMs: 400 * DAY_MS }
const PER_SECOND_FACTOR_SLOWED = { most: 3, windowMs: DAY_MS }
/** Strangers choose the accounts that do not exist, so they would choose how many events are stored. */
export const UNKNOWN_ACCOUNT_EVENTS = { most: 100, windowMs: DAY_MS }

/** An attempt in progress; counts as failed until it is given back. */
export interface LoginAttempt {
  /** It used up a budget. */
  wasLast: boolean
  /** The attempt succeeded: it no longer counts. A right code from the admin's own browser ends the slow-down. */
  giveBack(): Promise<void>
}

export interface LoginThrottle {
  /** @returns the attempt, or the time until which attempts are refused, milliseconds since the epoch */
  take(attempt: {
    kind: 'password' | 'code' | 'passkey' | 'oidc'
    /** Names the account, for a code also the password and second factor; it need not exist. */
    account: string
    browser: Browser
    /** Names a known browser or a session, which has its own budget; `null`: a stranger's browser. */
    own: string | null
  }): Promise<LoginAttempt | { refusedUntil: Millis }>
  /** Counts a failure for an account that does not exist. Is it one of those that become an event? */
  countUnknown(): Promise<{ isEvent: boolean; wasLast: boolean }>
}

export function createLoginThrottle({
  store,
  clock,
}: {
  store: Store
  clock: Clock
}): LoginThrottle {
  const takeAll = async (
    budgets: Budget[],
    cleared: Hash[],
    now: Millis,
  ): Promise<LoginAttempt | { refusedUntil: Millis }> => {
    const { refusedUntil, wasLast } = await store.takeAttempt({ budgets, now })
    if (refusedUntil !== null) return { refusedUntil }
    const taken = budgets.map(({ key }) => key)
    return { wasLast, giveBack: () => store.returnAttempt(taken, cleared) }
  }

  return {
    async take({ kind, account, browser, own }) {
      const now = clock.now()
      const isCode = kind === 'code'
      const budget = (key: string, { most, windowMs }: Limit): Budget => ({
        key: hashKey(kind, key),
        most,
        until: now + windowMs,
      })
      const ofAccount = `account ${account}`
      const owner = own ?? ofAccount
      const perOwner = own === null ? PER_ACCOUNT : PER_BROWSER
      const perAddress = budget(`address ${networkOf(browser.address)}`, perAddressOf(browser))
      const budgets = [
        budget(owner, isCode ? PER_SECOND_FACTOR : perOwner),
        ...(own === null ? [perAddress] : []),
      ]
      if (!isCode) return takeAll(budgets, [], now)
      const failuresOf = (name: string) => budget(`failures ${name}`, SECOND_FACTOR_FAILURES)
      const cleared = own === null ? [] : [failuresOf(own).key, failuresOf(ofAccount).key]
      const attempt = await takeAll([...budgets, failuresOf(owner)], cleared, now)
      if (!('refusedUntil' in attempt)) return attempt
      return takeAll(
        [...budgets, budget(`slowed ${owner}`, PER_SECOND_FACTOR_SLOWED)],
        cleared,
        now,
      )
    },

    async countUnknown() {
      const now = clock.now()
      const { most, windowMs } = UNKNOWN_ACCOUNT_EVENTS
      const budget = { key: hashKey('event', 'unknown account'), most, until: now + windowMs }
      const { refusedUntil, wasLast } = await store.takeAttempt({ budgets: [budget], now })
      return { isEvent: refusedUntil === null, wasLast }
    },
  }
}

/** An address that many people share has a larger budget. */
const perAddressOf = ({ isAddressShared }: Browser): Limit =>
  isAddressShared
    ? { ...PER_ADDRESS, most: PER_ADDRESS.most * SHARED_ADDRESS_LIMIT_FACTOR }
    : PER_ADDRESS

/** Hashed, because people type passwords into the e-mail field. */
const hashKey = (kind: string, key: string): Hash => sha256(`${kind} ${key}`)
