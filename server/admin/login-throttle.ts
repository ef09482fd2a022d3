import type { Budget, Hash, Store } from '../../db/store.ts'
import type { Clock } from '../runtime.ts'
import { networkOf } from '../addresses.ts'
import { sha256 } from '../crypto/hash.ts'
import type { Browser } from './sessions.ts'

/**
 * Limits guesses of passwords and codes. The budgets are in the store, so they hold across all processes and
 * restarts. A failure counts for the network address and for the account. A browser that the admin has
 * signed in with before has its own budget, so strangers can't lock the admin out by using up the account's
 * (OWASP: "device cookies").
 */

const MINUTE_MS = 60_000
/** One address alone can't use up an account's budget. */
const PER_ADDRESS = { most: 10, windowMs: 15 * MINUTE_MS }
const PER_ACCOUNT = { most: 100, windowMs: 60 * MINUTE_MS }
const PER_DEVICE = { most: 10, windowMs: 15 * MINUTE_MS }
/** Of a million possible codes, three are valid at any time. */
const PER_SECOND_FACTOR = { most: 5, windowMs: 15 * MINUTE_MS }

/** An attempt in progress; counts as failed until it is given back. */
export interface LoginAttempt {
  /** It used up a budget. */
  wasLast: boolean
  /** The attempt succeeded: it no longer counts. */
  giveBack(): Promise<void>
}

export interface LoginThrottle {
  /** @returns the attempt, or the time until which attempts are refused, milliseconds since the epoch */
  take(attempt: {
    kind: 'password' | 'code'
    /** Names the account; it need not exist. */
    account: string
    browser: Browser
    /** The account's owner has signed in with this browser before. */
    isKnown: boolean
  }): Promise<LoginAttempt | { refusedUntil: number }>
}

export function createLoginThrottle({
  store,
  clock,
}: {
  store: Store
  clock: Clock
}): LoginThrottle {
  return {
    async take({ kind, account, browser, isKnown }) {
      const now = clock.now()
      const budget = (key: string, { most, windowMs }: typeof PER_ADDRESS): Budget => ({
        key: hashKey(kind, key),
        most,
        until: now + windowMs,
      })
      const isCode = kind === 'code'
      const perDevice = budget(
        `device ${browser.device?.reveal()}`,
        isCode ? PER_SECOND_FACTOR : PER_DEVICE,
      )
      const perAccount = budget(`account ${account}`, isCode ? PER_SECOND_FACTOR : PER_ACCOUNT)
      const perAddress = budget(`address ${networkOf(browser.address)}`, PER_ADDRESS)
      const budgets = isKnown
        ? [perDevice]
        : [perAccount, ...(browser.isAddressShared ? [] : [perAddress])]
      const { refusedUntil, wasLast } = await store.takeAttempt({ budgets, now })
      if (refusedUntil !== null) return { refusedUntil }
      const giveBack = () => store.returnAttempt(budgets.map(({ key }) => key))
      return { wasLast, giveBack }
    },
  }
}

/** Hashed, because people type passwords into the e-mail field. */
const hashKey = (kind: string, key: string): Hash => sha256(`${kind} ${key}`)
