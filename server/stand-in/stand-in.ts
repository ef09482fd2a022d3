import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { setTimeout } from 'node:timers/promises'
import { AccessTokens } from './access-tokens.ts'
import { AuthorizationCodes } from './authorization-codes.ts'
import { Drive } from './drive.ts'
import type { Endpoint, Fault } from './faults.ts'
import { ENDPOINTS, Faults } from './faults.ts'
import { RefreshTokens } from './refresh-tokens.ts'
import { Sessions } from './sessions.ts'
import { StateFile } from './state-file.ts'
import type { Switches } from './switches.ts'
import { switchDefaults } from './switches.ts'
import type { User } from './users.ts'
import { Users } from './users.ts'

/** A registered OAuth client. */
export interface Client {
  id: string
  secret: string
  /** At most 100 characters each; compared exactly. */
  redirectUris: string[]
  /** Shown on the consent page; default: the id. */
  name?: string
}

export interface StandInOptions {
  clients: Client[]
  switches?: Partial<Switches>
  /** Milliseconds since the epoch. */
  now?: () => number
  /** Waits, for the delays of switches and faults. */
  sleep?: (milliseconds: number) => Promise<void>
  /** Numbers in [0, 1), for faults with a `share`. */
  random?: () => number
  /** The file that keeps users and tokens between starts; without one, they end with the process. */
  stateFile?: string | undefined
}

/** The limit of Ellipsis Drive. */
const MAX_REDIRECT_URI_LENGTH_CHARS = 100
/** Enough to search logs for leaked secrets after a long test. */
const MAX_ISSUED_SECRETS = 100_000

const MAX_RECORDED_REQUESTS = 200

/** A request that the API received. */
export interface RecordedRequest {
  method: string
  /** With the query, as received. */
  url: string
  headers: IncomingHttpHeaders
  /** Bytes of the uploaded file so far; 0 without one. */
  fileBytes: number
  /** Of the uploaded file, in hexadecimal; set at its end. */
  sha256?: string
}

const zeroCalls = () =>
  Object.fromEntries(ENDPOINTS.map((name) => [name, 0])) as Record<Endpoint, number>

/** The state of a local Ellipsis Drive, and the methods that tests control it with. */
export class StandIn {
  /** Can be changed at any time. */
  readonly switches: Switches
  /** Clients can be added at any time. */
  readonly clients: Client[]
  /** Calls since the start or the last `resetCalls`, including those that failed by a fault. */
  calls = zeroCalls()
  /** The last requests to the API (at most 200), oldest first. They contain tokens. */
  requests: RecordedRequest[] = []
  readonly #recordOf = new WeakMap<IncomingMessage, RecordedRequest>()
  readonly users: Users
  readonly drive: Drive
  readonly sessions = new Sessions()
  readonly faults: Faults
  readonly codes: AuthorizationCodes
  readonly refreshTokens: RefreshTokens
  readonly accessTokens: AccessTokens
  readonly sleep: (milliseconds: number) => Promise<void>
  #issuedSecrets: string[] = []
  readonly #stateFile: StateFile | undefined

  /** @throws Error if a redirect URI is not a URL or is too long, or the state file is damaged */
  constructor(options: StandInOptions) {
    const { clients, now = Date.now, sleep = setTimeout, random = Math.random } = options
    clients.forEach(checkRedirectUris)
    this.clients = clients
    this.switches = { ...switchDefaults, ...options.switches }
    const recordIssued = (secret: string) => this.#recordIssued(secret)
    this.#stateFile = options.stateFile === undefined ? undefined : new StateFile(options.stateFile)
    const state = this.#stateFile?.read()
    this.users = new Users(state?.users)
    const deps = { switches: this.switches, now, recordIssued, users: this.users }
    this.sleep = sleep
    this.drive = new Drive(this.users.list())
    this.faults = new Faults(random)
    this.codes = new AuthorizationCodes(deps)
    this.refreshTokens = new RefreshTokens({ ...deps, state: state?.refreshTokens })
    this.accessTokens = new AccessTokens({ ...deps, state: state?.accessTokens })
  }

  /** Are users and tokens kept between starts? */
  get isKept(): boolean {
    return this.#stateFile !== undefined
  }

  /** Writes users and tokens to the state file, if there is one. */
  save(): void {
    this.#stateFile?.write({
      users: this.users.state(),
      accessTokens: this.accessTokens.state(),
      refreshTokens: this.refreshTokens.state(),
    })
  }

  record(request: IncomingMessage): void {
    const { method = '', url = '', headers } = request
    const record = { method, url, headers, fileBytes: 0 }
    this.#recordOf.set(request, record)
    if (this.requests.length >= MAX_RECORDED_REQUESTS) this.requests.shift()
    this.requests.push(record)
  }

  recordOf(request: IncomingMessage): RecordedRequest | undefined {
    return this.#recordOf.get(request)
  }

  resetCalls(): void {
    this.calls = zeroCalls()
  }

  /** Adds a user with a small drive. An existing user stays unchanged. */
  addUser(username: string, name?: string): User {
    const user = this.users.add(username, name)
    this.drive.create(user)
    return user
  }

  /**
   * Issues a refresh token without a browser. Adds the user if it does not exist.
   * @param clientId default: the first client
   * @throws Error if there is no client
   */
  grant(username: string, clientId = this.clients[0]?.id): string {
    if (clientId === undefined) throw new Error('There is no client to issue a token to.')
    return this.refreshTokens.issue(this.addUser(username), clientId)
  }

  /** Tells whether a refresh with this token would work now. */
  honours(refreshToken: string): boolean {
    return this.refreshTokens.honours(refreshToken)
  }

  /** Revokes the token and its whole family. Access tokens stay valid until they expire. */
  revokeRefreshToken(refreshToken: string): void {
    this.refreshTokens.revoke(refreshToken)
  }

  addFault(fault: Fault): void {
    this.faults.add(fault)
  }

  clearFaults(): void {
    this.faults.clear()
  }

  /** The last codes, access tokens and refresh tokens that were issued (at most 100,000), oldest first. */
  issued(): string[] {
    return [...this.#issuedSecrets]
  }

  #recordIssued(secret: string): void {
    if (this.#issuedSecrets.length >= MAX_ISSUED_SECRETS) {
      this.#issuedSecrets = this.#issuedSecrets.slice(MAX_ISSUED_SECRETS / 4)
    }
    this.#issuedSecrets.push(secret)
  }
}

function checkRedirectUris({ id, redirectUris }: Client): void {
  for (const uri of redirectUris) {
    if (!URL.canParse(uri)) throw new Error(`A redirect URI of client ${id} is not a URL.`)
    if (uri.length > MAX_REDIRECT_URI_LENGTH_CHARS) {
      throw new Error(
        `A redirect URI of client ${id} is longer than ${MAX_REDIRECT_URI_LENGTH_CHARS}.`,
      )
    }
  }
}
