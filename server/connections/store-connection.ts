import { associatedData } from '../../db/associated-data.ts'
import type { Code, Connection, Flow, NewEvent, Store } from '../../db/store.ts'
import type { Account, EllipsisClient, Tokens } from '../ellipsis/client.ts'
import { BrokerError } from '../errors.ts'
import { Secret } from '../secret.ts'
import type { Clock, Random } from '../runtime.ts'
import { backoff, withRetries } from '../refresh/failure-policy.ts'
import { newId, newSecret, sha256 } from '../crypto/hash.ts'
import type { Log } from '../log.ts'
import type { Vault } from '../crypto/vault.ts'

/** What Ellipsis Drive gave for an authorization. */
export type GrantedTokens = Tokens & { refreshToken: Secret }

/** Where the tokens of an authorization went. */
export interface StoredConnection {
  id: string
  /** Empty where Ellipsis Drive doesn't tell. */
  username: string
  /** The code that the app redeems; `null`: the flow issues none. */
  code: Secret | null
  /** A reconnect link meant another connection than the one that this account has. */
  isAnother: boolean
}

/**
 * Finds out whose the tokens are, and stores them in that account's connection, for as long as half a
 * minute if the store is in trouble: they exist nowhere else.
 * @throws BrokerError `invalid_request` if nobody could ever use the connection
 */
export type StoreConnection = (authorization: Authorization) => Promise<StoredConnection>

/** A flow that Ellipsis Drive answered well. */
export interface Authorization {
  flow: Flow
  tokens: GrantedTokens
  /** Does it hand anything out? A plain link only connects the account. */
  isUsed: boolean
  /** Network address that it came from. */
  address: string
}

/** A code's life, milliseconds (RFC 6749 4.1.2 has one live ten minutes at most). */
const CODE_LIFE = 60_000
/** How long Ellipsis Drive has to say whose account it is, milliseconds: the tokens wait unstored. */
const IDENTIFY_WITHIN = 8000
/** How long a store in trouble is tried, milliseconds, and how often a lost race is run again. */
const STORE_WITHIN = 30_000
const RACES = 5

export function createStoreConnection(needs: {
  store: Store
  vault: Vault
  ellipsis: EllipsisClient
  clock: Clock
  random: Random
  log: Log
}): StoreConnection {
  const { store, vault, ellipsis, clock, random, log } = needs

  /** Who connected. Ellipsis Drive may not tell: the connection works all the same. */
  const identify = async ({ accessToken }: Tokens): Promise<Account> => {
    const answered = new AbortController()
    const late = clock.sleep(IDENTIFY_WITHIN, answered.signal).then(() => {
      throw new Error(`no answer within ${IDENTIFY_WITHIN} ms`)
    })
    const asked = withRetries(() => ellipsis.account(accessToken), { clock, random })
    try {
      const account = await Promise.race([asked, late])
      if (account) return account
    } catch (error) {
      log.warn({ err: error }, 'Ellipsis Drive did not tell whose account this is')
    } finally {
      late.catch(() => undefined)
      answered.abort()
    }
    return { id: null, username: '' }
  }

  /** The connection that this authorization renews; `undefined`: it makes a new one. */
  const findRenewed = async (account: Account, flow: Flow): Promise<Connection | undefined> => {
    const known = account.id === null ? undefined : await store.findConnection(account.id)
    if (known || flow.reconnect === null) return known
    const meant = await store.getConnection(flow.reconnect)
    // Without tokens it is of another API, where the same name is another person.
    const isHere = meant?.accountId === null && meant.refreshToken !== null
    const same = isHere && meant.username === account.username
    if (!same || meant.username === '' || meant.status === 'revoked') return undefined
    // A name alone is weak: whoever learns the connection's id may not renew it for an app without access.
    const grants = await store.listGrants(meant.id)
    const has = grants.some(({ appId, revokedAt }) => appId === flow.appId && revokedAt === null)
    return has ? meant : undefined
  }

  /** A code, and what is stored of it; `null`: the flow issues none. */
  const newCode = (flow: Flow, connectionId: string): { code: Secret; stored: NewCode } | null => {
    const { appId, redirectUri, challenge, jkt, scope, device } = flow
    if (challenge === null) return null
    const code = newSecret(random)
    const [createdAt, expiresAt] = [clock.now(), clock.now() + CODE_LIFE]
    const authorized = { appId, redirectUri, challenge, jkt, connectionId, scope, device }
    const stored = { ...authorized, codeHash: sha256(code), createdAt, expiresAt }
    return { code: new Secret(code), stored }
  }

  const connectedEvent = (flow: Flow, address: string, id: string, again: boolean): NewEvent => ({
    at: clock.now(),
    actor: 'user',
    action: again ? 'connection.renewed' : 'connection.connected',
    connectionId: id,
    appId: flow.appId,
    address,
    details: flow.device,
  })

  /** Stores the tokens once; `undefined`: another writer came first. */
  const save = async (account: Account, { flow, tokens, isUsed, address }: Authorization) => {
    const renewed = await findRenewed(account, flow)
    if (!renewed && account.id === null && !isUsed) throw nobodys()
    const id = renewed?.id ?? newId(random, 'con')
    const made = newCode(flow, id)
    const saved = await store.saveConnection({
      id,
      expectedGeneration: renewed?.generation ?? null,
      accountId: account.id,
      username: account.username,
      tokens: {
        refreshToken: vault.seal(associatedData.refreshToken(id), tokens.refreshToken),
        accessToken: vault.seal(associatedData.accessToken(id), tokens.accessToken),
        accessTokenExpiresAt: tokens.expiresAt,
        accessTokenFetchedAt: tokens.fetchedAt,
      },
      now: clock.now(),
      code: made && made.stored,
      events: [connectedEvent(flow, address, id, renewed !== undefined)],
    })
    const isAnother = flow.reconnect !== null && flow.reconnect !== id
    const code = made && made.code
    return saved ? { id, username: account.username, code, isAnother } : undefined
  }

  /** The same, through races, and through a store that is full or held for a while. */
  const saveForSure = async (...given: Parameters<typeof save>): Promise<StoredConnection> => {
    const end = clock.now() + STORE_WITHIN
    for (let [races, faults] = [0, 0]; races < RACES;) {
      try {
        const saved = await save(...given)
        if (saved) return saved
        races++
      } catch (error) {
        if (error instanceof BrokerError || clock.now() > end) throw error
        log.error({ err: error }, 'a new connection can’t be stored; trying again')
        await clock.sleep(backoff(faults++, 100, 5000, random))
      }
    }
    throw new Error('the connection kept changing while it was stored')
  }

  return async (authorization) => saveForSure(await identify(authorization.tokens), authorization)
}

type NewCode = Omit<Code, 'usedAt' | 'grantId'>

const nobodys = (): BrokerError =>
  new BrokerError('invalid_request', {
    description:
      'Ellipsis Drive does not say whose account this is, so a link alone can’t connect it. Go to the app, and connect there.',
  })
