import { randomBytes } from 'node:crypto'
import type { Issued } from './issued.ts'
import type { Switches } from './switches.ts'
import type { User } from './users.ts'

/** `grace`: how long an old token may outlive its replacement, milliseconds. */
export const GRACE = 60_000
/** How many spent tokens of a family are still recognised as its own. */
const SPENT_KEPT = 1000
/** How many families that have ended are remembered. */
const ENDED_KEPT = 10_000

/** A refresh token and all that replaced it: one authorization of one client by one user. */
interface Family {
  user: User
  clientId: string
  current: string
  /** What `current` replaced, while it may still be used. */
  previous: { token: string; until: number } | null
  /** Used up, oldest first. */
  spent: string[]
}

/** What became of a refresh token that was handed out. */
export interface Standing {
  /** Would a refresh with it work now? */
  honoured: boolean
  /** Is it the last one that its family was given, dead or alive? */
  newest: boolean
  /** When its family was ended, milliseconds; `null`: it wasn't, or that is long ago. */
  endedAt: number | null
  /** Until when it may be used though it was replaced, milliseconds; `null`: it wasn't, or others followed. */
  graceUntil: number | null
}

/** Refresh tokens, and what becomes of them when they are used (switch `rotation`). */
export class RefreshTokens {
  readonly #families = new Map<string, Family>()
  /** The last tokens of families that have ended, and when that was. */
  readonly #last = new Map<string, number>()
  readonly #switches: Switches
  readonly #now: () => number
  readonly #issued: Issued

  constructor(parts: { switches: Switches; now: () => number; issued: Issued }) {
    this.#switches = parts.switches
    this.#now = parts.now
    this.#issued = parts.issued
  }

  /** Begins a family; answers its first token. */
  begin(user: User, clientId: string): string {
    const family = { user, clientId, current: '', previous: null, spent: [] }
    return this.#renew(family)
  }

  /** Would a refresh with this token work now? */
  honours(token: string): boolean {
    const family = this.#families.get(token)
    return family !== undefined && (family.current === token || this.#inGrace(family, token))
  }

  /** The account of a token: what a client that kept it lost, and whether it could have kept a newer one. */
  status(token: string): Standing {
    const endedAt = this.#last.get(token) ?? null
    const { current, previous = null } = this.#families.get(token) ?? {}
    const newest = endedAt !== null || current === token
    const hasGrace = this.#switches.rotation === 'grace' && previous?.token === token
    const graceUntil = hasGrace ? previous.until : null
    return { honoured: this.honours(token), newest, endedAt, graceUntil }
  }

  /**
   * Uses a token. Answers whose it is and the token to use from now on, or `undefined` if it is
   * unknown, spent or another client's. With rotation `always`, a spent one ends its whole family.
   */
  use(token: string, clientId: string): { user: User; refreshToken: string } | undefined {
    const family = this.#families.get(token)
    if (family?.clientId !== clientId) return undefined
    const refreshToken = this.#next(family, token)
    return refreshToken === undefined ? undefined : { user: family.user, refreshToken }
  }

  /** Ends the family that the token belongs to, if there is one. */
  revoke(token: string): void {
    const family = this.#families.get(token)
    if (!family) return
    const { current, previous, spent } = family
    const tokens = previous ? [...spent, previous.token, current] : [current]
    for (const one of tokens) this.#families.delete(one)
    this.#last.set(current, this.#now())
    const [oldest = current] = this.#last.keys()
    if (this.#last.size > ENDED_KEPT) this.#last.delete(oldest)
  }

  #next(family: Family, token: string): string | undefined {
    const { rotation, omitRefreshToken } = this.#switches
    // Asked again with the old token, a service with a grace gives the replacement again.
    if (this.#inGrace(family, token)) return family.current
    if (token !== family.current) {
      if (rotation === 'always') this.revoke(token)
      return undefined
    }
    // A new token that the answer leaves out could never be used.
    return rotation === 'never' || omitRefreshToken ? token : this.#renew(family)
  }

  #inGrace({ previous }: Family, token: string): boolean {
    if (this.#switches.rotation !== 'grace' || previous?.token !== token) return false
    return this.#now() < previous.until
  }

  /** Puts a new token in the place of the current one. */
  #renew(family: Family): string {
    if (family.previous) this.#spend(family, family.previous.token)
    const { current } = family
    family.previous = current === '' ? null : { token: current, until: this.#now() + GRACE }
    family.current = this.#issued.add(randomBytes(48).toString('base64url'))
    this.#families.set(family.current, family)
    return family.current
  }

  #spend(family: Family, token: string): void {
    family.spent.push(token)
    const tooMany = Math.max(0, family.spent.length - SPENT_KEPT)
    for (const one of family.spent.splice(0, tooMany)) this.#families.delete(one)
  }
}
