import { randomUUID } from 'node:crypto'
import type { User } from './users.ts'

/** RFC 6749 4.1.2 allows up to ten minutes. */
const CODE_LIFETIME_MS = 60_000

/** The authorization that a code stands for. */
export interface Authorization {
  user: User
  clientId: string
  /** `redirect_uri` of the authorization request; `undefined` if the request had none. */
  redirectUri: string | undefined
  challenge: CodeChallenge | undefined
}

/** PKCE (RFC 7636 4.3). */
export interface CodeChallenge {
  value: string
  method: 'S256' | 'plain'
}

/** Authorization codes: UUIDs, valid for one minute and one use. */
export class AuthorizationCodes {
  /** Oldest first. */
  readonly #codes = new Map<string, { authorization: Authorization; expiresAt: number }>()
  readonly #now: () => number
  readonly #recordIssued: (secret: string) => void

  constructor(deps: { now: () => number; recordIssued: (secret: string) => void }) {
    this.#now = deps.now
    this.#recordIssued = deps.recordIssued
  }

  issue(authorization: Authorization): string {
    this.#deleteExpired()
    const code = randomUUID()
    this.#recordIssued(code)
    this.#codes.set(code, { authorization, expiresAt: this.#now() + CODE_LIFETIME_MS })
    return code
  }

  /** Consumes the code. Returns `undefined` if it is unknown, used or expired. */
  consume(code: string): Authorization | undefined {
    const entry = this.#codes.get(code)
    this.#codes.delete(code)
    return entry && this.#now() < entry.expiresAt ? entry.authorization : undefined
  }

  #deleteExpired(): void {
    for (const [code, { expiresAt }] of this.#codes) {
      if (this.#now() < expiresAt) return
      this.#codes.delete(code)
    }
  }
}
