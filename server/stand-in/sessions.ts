import { randomBytes } from 'node:crypto'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { User } from './users.ts'

/** Cookies are shared between the ports of a host, so the name must be unique on it. */
const COOKIE_NAME = 'stand-in-session'
/** The oldest session is deleted first. */
const MAX_SESSIONS = 1000

/** Login sessions, by cookie. */
export class Sessions {
  readonly #users = new Map<string, User>()

  /** The user who is logged in in this browser. */
  findUser(request: FastifyRequest): User | undefined {
    return this.#users.get(readSessionId(request))
  }

  logIn(user: User, reply: FastifyReply): void {
    const id = randomBytes(16).toString('base64url')
    this.#users.set(id, user)
    const oldest = [...this.#users.keys()].slice(0, -MAX_SESSIONS)
    for (const oldId of oldest) this.#users.delete(oldId)
    void reply.header('set-cookie', `${COOKIE_NAME}=${id}; Path=/; HttpOnly; SameSite=Lax`)
  }

  logOut(request: FastifyRequest, reply: FastifyReply): void {
    this.#users.delete(readSessionId(request))
    void reply.header('set-cookie', `${COOKIE_NAME}=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0`)
  }
}

function readSessionId({ headers }: FastifyRequest): string {
  const pairs = (headers.cookie ?? '').split(';').map((pair) => pair.trim())
  const sessionPair = pairs.find((pair) => pair.startsWith(`${COOKIE_NAME}=`))
  return sessionPair?.slice(COOKIE_NAME.length + 1) ?? ''
}
