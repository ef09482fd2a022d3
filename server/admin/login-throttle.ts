import { isIPv6 } from 'node:net'
import ipaddr from 'ipaddr.js'
import type { Budget, Hash, Store } from '../../db/store.ts'
import type { Clock } from '../runtime.ts'
import { sha256 } from '../crypto/hash.ts'
import type { Browser } from './sessions.ts'

/**
 * Limits on guessing passwords and codes. Budgets lie in the store, so they hold over all processes and
 * starts. What fails is counted for the address that it comes from and for the account that it is about;
 * but a browser that the admin signed in with before has a budget of its own, so that strangers who use
 * up the account's can't lock its owner out (OWASP: "device cookies").
 */

const MINUTE = 60_000
/** An address tries ten passwords in a quarter of an hour: one address alone never uses up an account. */
const PER_ADDRESS = { most: 10, window: 15 * MINUTE }
const PER_ACCOUNT = { most: 100, window: 60 * MINUTE }
const PER_DEVICE = { most: 10, window: 15 * MINUTE }
/** Of a million codes, three are good at any time. */
const PER_SECOND_FACTOR = { most: 5, window: 15 * MINUTE }

/** An attempt under way: counted as failed until it is given back. */
export interface LoginAttempt {
  /** It used up a budget. */
  wasLast: boolean
  /** It was no failure. */
  giveBack(): Promise<void>
}

export interface LoginThrottle {
  /** @returns the attempt, or until when there are no more, milliseconds since the epoch */
  take(what: {
    kind: 'password' | 'code'
    /** Names the account, whether or not there is one. */
    account: string
    browser: Browser
    /** The browser is known as this account's. */
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
      const budget = (key: string, { most, window }: typeof PER_ADDRESS): Budget => ({
        key: keyOf(kind, key),
        most,
        until: now + window,
      })
      const perAccount = kind === 'code' ? PER_SECOND_FACTOR : PER_ACCOUNT
      const budgets = isKnown
        ? [
            budget(
              `device ${browser.device?.reveal()}`,
              kind === 'code' ? PER_SECOND_FACTOR : PER_DEVICE,
            ),
          ]
        : [
            budget(`account ${account}`, perAccount),
            ...(browser.isAddressShared
              ? []
              : [budget(`address ${network(browser.address)}`, PER_ADDRESS)]),
          ]
      const { refusedUntil, wasLast } = await store.takeAttempt({ budgets, now })
      if (refusedUntil !== null) return { refusedUntil }
      const giveBack = () => store.returnAttempt(budgets.map(({ key }) => key))
      return { wasLast, giveBack }
    },
  }
}

/** Hashed: people type passwords where an e-mail address belongs. */
const keyOf = (kind: string, key: string): Hash => sha256(`${kind} ${key}`)

/** Who has one IPv6 address has a /64 of them (RFC 6177 2). */
export function network(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1]
  if (mapped !== undefined) return mapped
  if (!isIPv6(address)) return address
  const groups = ipaddr.IPv6.parse(address).parts.slice(0, 4)
  return `${groups.map((group) => group.toString(16)).join(':')}::/64`
}
