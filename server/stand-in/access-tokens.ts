import { randomBytes, randomUUID } from 'node:crypto'
import { jwtVerify, SignJWT } from 'jose'
import type { Issued } from './issued.ts'
import type { Switches } from './switches.ts'
import type { User, Users } from './users.ts'

/** The only scope there is: everything but the account's security settings. */
export const SCOPE = 'projects'

/** Access tokens: JWTs that nobody keeps, or, with the switch `opaqueTokens`, random text. */
export class AccessTokens {
  readonly #key = randomBytes(32)
  /** Opaque tokens alone, oldest first. */
  readonly #opaque = new Map<string, { userId: string; expiresAt: number }>()
  readonly #switches: Switches
  readonly #now: () => number
  readonly #issued: Issued
  readonly #users: Users

  constructor(parts: { switches: Switches; now: () => number; issued: Issued; users: Users }) {
    this.#switches = parts.switches
    this.#now = parts.now
    this.#issued = parts.issued
    this.#users = parts.users
  }

  async issue(user: User, clientId: string): Promise<string> {
    const token = this.#switches.opaqueTokens
      ? this.#issueOpaque(user)
      : await this.#issueJwt(user, clientId)
    return this.#issued.add(token)
  }

  /** Whose token it is; `undefined` if it is not one, or has expired. */
  async read(token: string): Promise<User | undefined> {
    const opaque = this.#opaque.get(token)
    const userId = opaque ? this.#liveId(opaque) : await this.#readJwt(token)
    return userId === undefined ? undefined : this.#users.byId(userId)
  }

  #issueOpaque(user: User): string {
    this.#dropExpired()
    const { tokenLength, tokenLifetime } = this.#switches
    const token = randomBytes(32).toString('base64url').padEnd(tokenLength, 'x')
    const expiresAt = this.#now() + tokenLifetime * 1000
    this.#opaque.set(token, { userId: user.id, expiresAt })
    return token
  }

  async #issueJwt(user: User, clientId: string): Promise<string> {
    const issuedAt = Math.floor(this.#now() / 1000)
    const claims = { client_id: clientId, scope: SCOPE }
    const sign = (more: object) =>
      new SignJWT({ ...claims, ...more })
        .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
        .setSubject(user.id)
        .setIssuedAt(issuedAt)
        .setExpirationTime(issuedAt + this.#switches.tokenLifetime)
        .setJti(randomUUID())
        .sign(this.#key)
    const token = await sign({})
    const missing = this.#switches.tokenLength - token.length
    return missing > 0 ? sign({ padding: 'x'.repeat(missing) }) : token
  }

  async #readJwt(token: string): Promise<string | undefined> {
    try {
      const { payload } = await jwtVerify(token, this.#key, { currentDate: new Date(this.#now()) })
      return payload.sub
    } catch {
      return undefined
    }
  }

  #liveId({ userId, expiresAt }: { userId: string; expiresAt: number }): string | undefined {
    return this.#now() < expiresAt ? userId : undefined
  }

  #dropExpired(): void {
    for (const [token, entry] of this.#opaque) {
      if (this.#liveId(entry) !== undefined) return
      this.#opaque.delete(token)
    }
  }
}
