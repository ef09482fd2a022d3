import { randomBytes } from 'node:crypto'
import type { Switches } from './switches.ts'
import type { User, Users } from './users.ts'

/** With rotation `grace`: how long a replaced token still works. */
export const GRACE_PERIOD_MS = 60_000
/** Used tokens that a family still recognises. */
const MAX_USED_TOKENS = 1000
/** Revoked families that are remembered. */
const MAX_REVOKED_FAMILIES = 10_000

/** A refresh token and its replacements: one authorization of one client by one user. */
interface TokenFamily {
  user: User
  clientId: string
  current: string
  /** The token that `current` replaced. */
  previous: { token: string; graceUntil: number } | null
  /** Used tokens before `previous`, oldest first. */
  used: string[]
}

/** A token family as it is stored. */
export type StoredFamily = Omit<TokenFamily, 'user'> & { userId: string }

/** The state of a refresh token that was issued. */
interface RefreshTokenStatus {
  /** A refresh with it would work now. */
  honoured: boolean
  /** It is the last one of its family, whether the family is revoked or not. */
  newest: boolean
  /** When its family was revoked, in milliseconds; `null`: not revoked, or no longer remembered. */
  endedAt: number | null
  /** When the grace period of this replaced token ends, in milliseconds; `null`: it has none. */
  graceUntil: number | null
}

/** Refresh tokens and their rotation (switch `rotation`). */
export class RefreshTokens {
  readonly #families = new Map<string, TokenFamily>()
  /** The last token of each revoked family, and when it was revoked. */
  readonly #revokedAt = new Map<string, number>()
  readonly #switches: Switches
  readonly #now: () => number
  readonly #recordIssued: (secret: string) => void

  constructor(deps: {
    switches: Switches
    now: () => number
    recordIssued: (secret: string) => void
    users: Users
    state?: StoredFamily[] | undefined
  }) {
    this.#switches = deps.switches
    this.#now = deps.now
    this.#recordIssued = deps.recordIssued
    for (const { userId, ...stored } of deps.state ?? []) {
      const user = deps.users.findById(userId)
      if (!user) continue
      const family = { user, ...stored }
      for (const token of tokensOf(family)) this.#families.set(token, family)
    }
  }

  /** The families that are not revoked. */
  state(): StoredFamily[] {
    return [...new Set(this.#families.values())].map(({ user, ...family }) => ({
      userId: user.id,
      ...family,
    }))
  }

  /** Starts a token family and returns its first token. */
  issue(user: User, clientId: string): string {
    if (this.#switches.singleRefreshToken) this.#revokeAll(user, clientId)
    return this.#rotate({ user, clientId, current: '', previous: null, used: [] })
  }

  /** Tells whether a refresh with this token would work now. */
  honours(token: string): boolean {
    const family = this.#families.get(token)
    return family !== undefined && (family.current === token || this.#inGracePeriod(family, token))
  }

  /** Tells whether a client that stored this token lost its access, and whether there was a newer token. */
  status(token: string): RefreshTokenStatus {
    const endedAt = this.#revokedAt.get(token) ?? null
    const { current, previous = null } = this.#families.get(token) ?? {}
    const newest = endedAt !== null || current === token
    const hasGrace = this.#switches.rotation === 'grace' && previous?.token === token
    const graceUntil = hasGrace ? previous.graceUntil : null
    return { honoured: this.honours(token), newest, endedAt, graceUntil }
  }

  /**
   * Uses a token. Returns its user and the token for the next refresh, or `undefined` if the token is
   * unknown, already used or another client's. With rotation `always`, reuse revokes the family.
   */
  use(token: string, clientId: string): { user: User; refreshToken: string } | undefined {
    const family = this.#families.get(token)
    if (family?.clientId !== clientId) return undefined
    const refreshToken = this.#nextToken(family, token)
    return refreshToken === undefined ? undefined : { user: family.user, refreshToken }
  }

  /** Revokes the token's family. An unknown token is ignored. */
  revoke(token: string): void {
    const family = this.#families.get(token)
    if (!family) return
    const { current } = family
    for (const familyToken of tokensOf(family)) this.#families.delete(familyToken)
    this.#revokedAt.set(current, this.#now())
    const [oldest = current] = this.#revokedAt.keys()
    if (this.#revokedAt.size > MAX_REVOKED_FAMILIES) this.#revokedAt.delete(oldest)
  }

  #revokeAll(user: User, clientId: string): void {
    for (const family of new Set(this.#families.values()))
      if (family.user === user && family.clientId === clientId) this.revoke(family.current)
  }

  #nextToken(family: TokenFamily, token: string): string | undefined {
    const { rotation, omitRefreshToken } = this.#switches
    // During the grace period, the previous token gets the same replacement again.
    if (this.#inGracePeriod(family, token)) return family.current
    if (token !== family.current) {
      if (rotation === 'always') this.revoke(token)
      return undefined
    }
    // The client never sees a token that the response omits, so that the current one stays valid.
    return rotation === 'never' || omitRefreshToken ? token : this.#rotate(family)
  }

  #inGracePeriod({ previous }: TokenFamily, token: string): boolean {
    if (this.#switches.rotation !== 'grace' || previous?.token !== token) return false
    return this.#now() < previous.graceUntil
  }

  /** Replaces the current token by a new one. */
  #rotate(family: TokenFamily): string {
    if (family.previous) this.#addUsed(family, family.previous.token)
    const { current } = family
    const graceUntil = this.#now() + GRACE_PERIOD_MS
    family.previous = current === '' ? null : { token: current, graceUntil }
    family.current = randomBytes(48).toString('base64url')
    this.#recordIssued(family.current)
    this.#families.set(family.current, family)
    return family.current
  }

  #addUsed(family: TokenFamily, token: string): void {
    family.used.push(token)
    const excess = Math.max(0, family.used.length - MAX_USED_TOKENS)
    for (const oldest of family.used.splice(0, excess)) this.#families.delete(oldest)
  }
}

/** Every token that the family still recognises. */
const tokensOf = ({ current, previous, used }: TokenFamily): string[] =>
  previous ? [...used, previous.token, current] : [current]
