import { setTimeout } from 'node:timers/promises'
import { AccessTokens } from './access-tokens.ts'
import { Codes } from './codes.ts'
import { Drive } from './drive.ts'
import type { Endpoint, Fault } from './faults.ts'
import { ENDPOINTS, Faults } from './faults.ts'
import { Issued } from './issued.ts'
import { RefreshTokens } from './refresh-tokens.ts'
import { Sessions } from './sessions.ts'
import type { Switches } from './switches.ts'
import { switchDefaults } from './switches.ts'
import type { User } from './users.ts'
import { Users } from './users.ts'

/** A registered OAuth client. */
export interface Client {
  id: string
  secret: string
  /** At most 100 characters each; they are compared exactly. */
  redirectUris: string[]
  /** What people see when they are asked; without it, the id. */
  name?: string
}

export interface StandInOptions {
  clients: Client[]
  switches?: Partial<Switches>
  /** Milliseconds since the epoch. */
  now?: () => number
  /** Waits so many milliseconds: for delays that switches and faults ask for. */
  sleep?: (milliseconds: number) => Promise<void>
  /** Numbers in [0, 1): which calls a fault with a `share` strikes. */
  random?: () => number
}

/** Longest redirect URI that Ellipsis Drive can keep. */
const REDIRECT_URI_LENGTH = 100

const noCalls = () => Object.fromEntries(ENDPOINTS.map((name) => [name, 0]))

/** All that a local Ellipsis Drive knows, and the handles by which a test steers it. */
export class StandIn {
  /** May be changed at any time. */
  readonly switches: Switches
  /** May be added to at any time. */
  readonly clients: Client[]
  /** Calls since the start or the last `resetCalls`, those that a fault struck included. */
  calls = noCalls() as Record<Endpoint, number>
  readonly users = new Users()
  readonly drive: Drive
  readonly sessions = new Sessions()
  readonly faults: Faults
  readonly codes: Codes
  readonly refreshTokens: RefreshTokens
  readonly accessTokens: AccessTokens
  readonly sleep: (milliseconds: number) => Promise<void>
  readonly #issued = new Issued()

  /** @throws Error for a redirect URI that is no URL or too long */
  constructor(options: StandInOptions) {
    const { clients, now = Date.now, sleep = setTimeout, random = Math.random } = options
    clients.forEach(checkRedirectUris)
    this.clients = clients
    this.switches = { ...switchDefaults, ...options.switches }
    const parts = { switches: this.switches, now, issued: this.#issued, users: this.users }
    this.sleep = sleep
    this.drive = new Drive(this.users.list())
    this.faults = new Faults(random)
    this.codes = new Codes(parts)
    this.refreshTokens = new RefreshTokens(parts)
    this.accessTokens = new AccessTokens(parts)
  }

  resetCalls(): void {
    this.calls = noCalls() as Record<Endpoint, number>
  }

  /** Adds a user, with a small drive; one that is known stays as it is. */
  addUser(username: string, name?: string): User {
    const user = this.users.add(username, name)
    this.drive.plant(user)
    return user
  }

  /**
   * A refresh token as an authorization would give it, without the browser; adds the user if need be.
   * @param clientId without it, the first client's
   * @throws Error without a client
   */
  grant(username: string, clientId = this.clients[0]?.id): string {
    if (clientId === undefined) throw new Error('There is no client to grant anything to.')
    return this.refreshTokens.begin(this.addUser(username), clientId)
  }

  /** Would a refresh with this token work now? */
  honours(refreshToken: string): boolean {
    return this.refreshTokens.honours(refreshToken)
  }

  /** Ends the token and its whole family; access tokens live on until they expire. */
  revokeRefreshToken(refreshToken: string): void {
    this.refreshTokens.revoke(refreshToken)
  }

  addFault(fault: Fault): void {
    this.faults.add(fault)
  }

  clearFaults(): void {
    this.faults.clear()
  }

  /** The last 100,000 codes, access tokens and refresh tokens that were handed out, oldest first. */
  issued(): string[] {
    return this.#issued.list()
  }
}

function checkRedirectUris({ id, redirectUris }: Client): void {
  for (const uri of redirectUris) {
    if (!URL.canParse(uri)) throw new Error(`A redirect URI of client ${id} is not a URL.`)
    if (uri.length > REDIRECT_URI_LENGTH) {
      throw new Error(`A redirect URI of client ${id} is longer than ${REDIRECT_URI_LENGTH}.`)
    }
  }
}
