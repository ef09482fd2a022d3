import { randomBytes, randomUUID } from 'node:crypto'
import { jwtVerify, SignJWT } from 'jose'
import type { Switches } from './switches.ts'
import type { User, Users } from './users.ts'

/** The only scope of Ellipsis Drive: everything except the account's security settings. */
export const SCOPE = 'projects'

/** What a later stand-in needs to accept the tokens of this one. */
export interface AccessTokenState {
  /** Signs the JWTs; base64url. */
  signingKey: string
  /** Oldest first. `expiresAt`: milliseconds since the epoch. */
  opaqueTokens: [token: string, entry: { userId: string; expiresAt: number }][]
}

/** Access tokens: JWTs, which are not stored, or random text with the switch `opaqueTokens`. */
export class AccessTokens {
  readonly #key: Buffer
  readonly #opaqueTokens: Map<string, { userId: string; expiresAt: number }>
  readonly #switches: Switches
  readonly #now: () => number
  readonly #recordIssued: (secret: string) => void
  readonly #users: Users

  constructor(deps: {
    switches: Switches
    now: () => number
    recordIssued: (secret: string) => void
    users: Users
    state?: AccessTokenState | undefined
  }) {
    const { state } = deps
    this.#key = state ? Buffer.from(state.signingKey, 'base64url') : randomBytes(32)
    this.#opaqueTokens = new Map(state?.opaqueTokens)
    this.#switches = deps.switches
    this.#now = deps.now
    this.#recordIssued = deps.recordIssued
    this.#users = deps.users
  }

  state(): AccessTokenState {
    const signingKey = this.#key.toString('base64url')
    return { signingKey, opaqueTokens: [...this.#opaqueTokens] }
  }

  async issue(user: User, clientId: string): Promise<string> {
    const token = this.#switches.opaqueTokens
      ? this.#issueOpaque(user)
      : await this.#issueJwt(user, clientId)
    this.#recordIssued(token)
    return token
  }

  /** The user that the token belongs to; `undefined` if the token is invalid or expired. */
  async findUser(token: string): Promise<User | undefined> {
    const opaque = this.#opaqueTokens.get(token)
    const userId = opaque ? this.#userIdUnlessExpired(opaque) : await this.#verifyJwt(token)
    return userId === undefined ? undefined : this.#users.findById(userId)
  }

  #issueOpaque(user: User): string {
    this.#deleteExpired()
    const { tokenLength, tokenLifetime } = this.#switches
    const token = randomBytes(32).toString('base64url').padEnd(tokenLength, 'x')
    const expiresAt = this.#now() + tokenLifetime * 1000
    this.#opaqueTokens.set(token, { userId: user.id, expiresAt })
    return token
  }

  async #issueJwt(user: User, clientId: string): Promise<string> {
    const issuedAtSeconds = Math.floor(this.#now() / 1000)
    const claims = { client_id: clientId, scope: SCOPE }
    const sign = (extraClaims: object) =>
      new SignJWT({ ...claims, ...extraClaims })
        .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
        .setSubject(user.id)
        .setIssuedAt(issuedAtSeconds)
        .setExpirationTime(issuedAtSeconds + this.#switches.tokenLifetime)
        .setJti(randomUUID())
        .sign(this.#key)
    const token = await sign({})
    const missingChars = this.#switches.tokenLength - token.length
    return missingChars > 0 ? sign({ padding: 'x'.repeat(missingChars) }) : token
  }

  async #verifyJwt(token: string): Promise<string | undefined> {
    try {
      const { payload } = await jwtVerify(token, this.#key, { currentDate: new Date(this.#now()) })
      return payload.sub
    } catch {
      return undefined
    }
  }

  #userIdUnlessExpired(token: { userId: string; expiresAt: number }): string | undefined {
    return this.#now() < token.expiresAt ? token.userId : undefined
  }

  #deleteExpired(): void {
    for (const [token, entry] of this.#opaqueTokens) {
      if (this.#userIdUnlessExpired(entry) !== undefined) return
      this.#opaqueTokens.delete(token)
    }
  }
}
