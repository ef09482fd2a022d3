import { associatedData } from '../../db/associated-data.ts'
import type { AccessPolicy, Connection, NewEvent, Store } from '../../db/store.ts'
import type { Account, Tokens } from '../ellipsis/client.ts'
import { BrokerError } from '../errors.ts'
import { issueCode } from '../oauth/authorization-code.ts'
import type { Secret } from '../secret.ts'
import type { Clock, Random } from '../runtime.ts'
import { backoffMs } from '../refresh/failure-policy.ts'
import { newId } from '../crypto/hash.ts'
import type { Flow } from './flow.ts'
import type { Log } from '../log.ts'
import type { Vault } from '../crypto/vault.ts'

/** The connection that now has the tokens. */
interface StoredConnection {
  id: string
  /** Empty if Ellipsis Drive doesn't provide it. */
  username: string
  /** The authorization code for the app; `null`: the flow issues none. */
  code: Secret | null
}

/**
 * Stores the tokens in the connection of their account. If the store fails, retries for half a
 * minute: the tokens exist nowhere else.
 * Without a refresh token, an active connection of the account keeps the tokens that it has.
 * @throws BrokerError `invalid_request` if no app or user could ever use the connection; `server_error` if there
 *   is no refresh token, neither new nor stored
 */
export type StoreConnection = (authorization: Authorization) => Promise<StoredConnection>

/** A successful authorization at Ellipsis Drive. */
interface Authorization {
  flow: Flow & { policy: AccessPolicy | null }
  account: Account
  tokens: Tokens
  /** The app or device gets something. A plain connect link only connects the account. */
  isUsed: boolean
  /** Network address of the browser. */
  address: string
  /** The secret of the browser's cookie. */
  browser: Secret
}

/** How long a failing store is retried. */
const STORE_TIMEOUT_MS = 30_000
/** How often a conflict with another writer is retried. */
const MAX_CONFLICTS = 5

export function createStoreConnection(dependencies: {
  store: Store
  vault: Vault
  clock: Clock
  random: Random
  log: Log
}): StoreConnection {
  const { store, vault, clock, random, log } = dependencies

  /** Finds the connection that this authorization renews; `undefined`: it creates a new one. */
  const findRenewed = async (account: Account, flow: Flow): Promise<Connection | undefined> => {
    const known = account.id === null ? undefined : await store.findConnection(account.id)
    if (known || flow.reconnect === null) return known
    const reconnecting = await store.getConnection(flow.reconnect)
    // A connection without tokens belongs to another API, where the same name is another person.
    if (!reconnecting?.refreshToken || reconnecting.status === 'revoked') return undefined
    if (account.id !== null && reconnecting.accountId !== null) return undefined
    if (account.username === '' || reconnecting.username !== account.username) return undefined
    // A username is weak evidence: only an app with a grant may renew by it, not anyone who knows the id.
    const grants = await store.listGrants(reconnecting.id)
    const hasGrant = grants.some(
      ({ appId, revokedAt }) => appId === flow.appId && revokedAt === null,
    )
    return hasGrant ? reconnecting : undefined
  }

  const connectedEvent = (
    flow: Flow,
    address: string,
    id: string,
    renewed: Connection | undefined,
  ): NewEvent => ({
    at: clock.now(),
    actor: 'user',
    action: connectedAction(renewed),
    connectionId: id,
    appId: flow.appId,
    address,
    details: flow.device,
  })

  /** Stores the tokens. `undefined`: another writer changed the connection first. */
  const save = async ({ flow, account, tokens, isUsed, address, browser }: Authorization) => {
    const renewed = await findRenewed(account, flow)
    if (!renewed && account.id === null && !isUsed) throw unusable()
    const id = renewed?.id ?? newId(random, 'con')
    const keepsTokens = renewed?.status === 'active' && renewed.refreshToken !== null
    if (!tokens.refreshToken && !keepsTokens) throw noRefreshToken()
    const issued = issueCode(flow, { connectionId: id, browser }, { clock, random })
    const saved = await store.saveConnection({
      id,
      expectedGeneration: renewed?.generation ?? null,
      accountId: account.id,
      username: account.username,
      tokens: tokens.refreshToken && {
        refreshToken: vault.seal(associatedData.refreshToken(id), tokens.refreshToken),
        accessToken: vault.seal(associatedData.accessToken(id), tokens.accessToken),
        accessTokenExpiresAt: tokens.expiresAt,
        accessTokenFetchedAt: tokens.fetchedAt,
      },
      now: clock.now(),
      code: issued && issued.record,
      events: [connectedEvent(flow, address, id, renewed)],
    })
    const code = issued && issued.code
    const username = account.username || (renewed?.username ?? '')
    return saved ? { id, username, code } : undefined
  }

  /** The same, retried after conflicts and while the store is full or locked. */
  const saveWithRetries: StoreConnection = async (authorization) => {
    const deadline = clock.now() + STORE_TIMEOUT_MS
    for (let [conflicts, failures] = [0, 0]; conflicts < MAX_CONFLICTS;) {
      try {
        const saved = await save(authorization)
        if (saved) return saved
        conflicts++
      } catch (error) {
        if (error instanceof BrokerError || clock.now() > deadline) throw error
        log.error({ err: error }, 'a new connection can’t be stored; retrying')
        await clock.sleep(backoffMs(failures++, 100, 5000, random))
      }
    }
    throw new Error('the connection changed repeatedly while it was stored')
  }

  return saveWithRetries
}

/** Receivers of events learn only of a change: one who connects an active connection again changes nothing. */
function connectedAction(renewed: Connection | undefined): string {
  if (!renewed) return 'connection.connected'
  return renewed.status === 'active' ? 'connection.renewed' : 'connection.reconnected'
}

const unusable = (): BrokerError =>
  new BrokerError('invalid_request', {
    reason: 'account_unknown',
    description:
      'Ellipsis Drive does not say whose account this is, so a link alone can’t connect it. Go to the app and connect there.',
  })

const noRefreshToken = (): BrokerError =>
  new BrokerError('server_error', {
    reason: 'upstream_sent_no_refresh_token',
    description:
      'Ellipsis Drive sent no refresh token, so the broker could not keep the connection. Connect again later; if it happens again, tell the host of this broker.',
    cause: new Error('Ellipsis Drive gave no refresh token for an authorization code'),
  })
