import { randomBytes } from 'node:crypto'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { User } from './users.ts'

/** Cookies know no ports: a name that no other program on this host is likely to use. */
const COOKIE = 'stand-in-session'
/** Logins that are remembered; the oldest is forgotten first. */
const KEPT = 1000

/** Who is logged in, by cookie. */
export class Sessions {
  readonly #users = new Map<string, User>()

  /** Who is logged in in this browser. */
  user(request: FastifyRequest): User | undefined {
    return this.#users.get(sessionId(request))
  }

  logIn(user: User, reply: FastifyReply): void {
    const id = randomBytes(16).toString('base64url')
    this.#users.set(id, user)
    const oldest = [...this.#users.keys()].slice(0, -KEPT)
    for (const forgotten of oldest) this.#users.delete(forgotten)
    void reply.header('set-cookie', `${COOKIE}=${id}; Path=/; HttpOnly; SameSite=Lax`)
  }

  logOut(request: FastifyRequest, reply: FastifyReply): void {
    this.#users.delete(sessionId(request))
    void reply.header('set-cookie', `${COOKIE}=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0`)
  }
}

function sessionId({ headers }: FastifyRequest): string {
  const pairs = (headers.cookie ?? '').split(';').map((pair) => pair.trim())
  const own = pairs.find((pair) => pair.startsWith(`${COOKIE}=`))
  return own?.slice(COOKIE.length + 1) ?? ''
}
