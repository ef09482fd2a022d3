import { randomUUID } from 'node:crypto'
import type { Issued } from './issued.ts'
import type { User } from './users.ts'

/** Milliseconds that an authorization code is good for. */
const LIFETIME = 60_000

/** What an authorization code stands for. */
export interface Authorization {
  user: User
  clientId: string
  /** As it was sent to authorize; `undefined` if it wasn't. */
  redirectUri: string | undefined
  challenge: Challenge | undefined
}

/** PKCE (RFC 7636 4.3). */
export interface Challenge {
  value: string
  method: 'S256' | 'plain'
}

/** Authorization codes: UUIDs, good for one minute and one use. */
export class Codes {
  /** Oldest first. */
  readonly #codes = new Map<string, { authorization: Authorization; expiresAt: number }>()
  readonly #now: () => number
  readonly #issued: Issued

  constructor(parts: { now: () => number; issued: Issued }) {
    this.#now = parts.now
    this.#issued = parts.issued
  }

  issue(authorization: Authorization): string {
    this.#dropExpired()
    const code = this.#issued.add(randomUUID())
    this.#codes.set(code, { authorization, expiresAt: this.#now() + LIFETIME })
    return code
  }

  /** Uses the code up; `undefined` if it is unknown, used or too old. */
  take(code: string): Authorization | undefined {
    const entry = this.#codes.get(code)
    this.#codes.delete(code)
    return entry && this.#now() < entry.expiresAt ? entry.authorization : undefined
  }

  #dropExpired(): void {
    for (const [code, { expiresAt }] of this.#codes) {
      if (this.#now() < expiresAt) return
      this.#codes.delete(code)
    }
  }
}
