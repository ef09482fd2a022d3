import { associatedData } from '../../db/associated-data.ts'
import type { Connection, Grant, Store } from '../../db/store.ts'
import type { Account, EllipsisClient } from '../ellipsis/client.ts'
import { BrokerError } from '../errors.ts'
import { Secret } from '../secret.ts'
import { openStored } from '../refresh/access-token.ts'
import type { BrokerTokens } from '../oauth/broker-token.ts'
import type { Clock, Random } from '../runtime.ts'
import { EllipsisError } from '../ellipsis/errors.ts'
import { withRetries } from '../refresh/failure-policy.ts'
import { sha256 } from '../crypto/hash.ts'
import type { Refresher } from '../refresh/refresher.ts'
import {
  REJECTIONS,
  rejectPendingImport,
  isPendingImport,
  removeRejectedImport,
} from './pending-import.ts'
import type { Vault } from '../crypto/vault.ts'
import { visibleText } from '../visible-text.ts'

/** A refresh token that a host already holds, of the same client at Ellipsis Drive. */
export interface Holding {
  /** Id or username at Ellipsis Drive. */
  account: string
  refreshToken: Secret
  /** The app that gets a grant, by its client_id. */
  appId: string
}

/** What became of one. */
export type Imported =
  | { status: 'imported' | 'already'; connectionId: string; brokerToken: Secret | null }
  | { status: 'refused' | 'mismatch' | 'failed' | 'no_app'; reason: string }

/**
 * Takes connections over, one at a time. A token is stored first and proven then, by a refresh like any
 * other: killed at any point, its newest refresh token is in the store, and the same line goes on there. An
 * account has one connection, however many lines name it, unless it turns out only later whose one is.
 */
export interface Importer {
  /** @throws BrokerError `server_error`: Ellipsis Drive refuses the broker's own client */
  take(holding: Holding): Promise<Imported>
}

/** Times that a lost race is run again. */
const ATTEMPTS = 5

export function createImporter(needs: {
  store: Store
  vault: Vault
  ellipsis: EllipsisClient
  refresher: Refresher
  tokens: BrokerTokens
  clock: Clock
  random: Random
  /** Of the OAuth client at Ellipsis Drive. */
  clientId: string
}): Importer {
  const { store, vault, ellipsis, refresher, tokens, clock, random, clientId } = needs
  /** Connections by the account that the lines gave, where Ellipsis Drive doesn't tell. */
  const untold = new Map<string, string>()

  const event = (action: string, connectionId: string, more: object = {}) => ({
    at: clock.now(),
    actor: 'cli',
    action,
    connectionId,
    ...more,
  })

  const seal = (id: string, refreshToken: Secret, accessToken: Secret) => ({
    refreshToken: vault.seal(associatedData.refreshToken(id), refreshToken),
    accessToken: vault.seal(associatedData.accessToken(id), accessToken),
  })

  /** The connection of this token, from an earlier run or new. Its id is of the token's hash. */
  const keepFirst = async ({ account, refreshToken }: Holding): Promise<Connection> => {
    const id = idOf('con', [clientId, refreshToken.reveal()])
    const found = await store.getConnection(id)
    if (found) return found
    await store.saveConnection({
      id,
      expectedGeneration: null,
      accountId: null,
      username: visibleText(account),
      tokens: {
        ...seal(id, refreshToken, new Secret('')),
        accessTokenExpiresAt: 0,
        accessTokenFetchedAt: 0,
      },
      now: clock.now(),
      code: null,
      importState: 'pending',
      events: [event('connection.imported', id)],
    })
    const stored = await store.getConnection(id)
    /* c8 ignore next -- nothing removes what was stored a moment ago */
    if (!stored) throw new Error('a connection that was stored is gone')
    return stored
  }

  /** Revokes a second connection of an account. */
  const replace = (id: string, replacedBy: string): Promise<boolean> => {
    const details = `the account is connected as ${replacedBy}`
    const events = [event('connection.revoked', id, { details })]
    return store.revokeConnection({ id, now: clock.now(), why: { replacedBy }, events })
  }

  /** Why it was revoked, as its latest event tells. */
  const whyRevoked = async (connectionId: string): Promise<string> =>
    (await store.listEvents({ filter: { connectionId }, limit: 1 })).rows[0]?.details ??
    'it was revoked here'

  const identify = async (accessToken: Secret): Promise<Account> => {
    const call = () => ellipsis.account(accessToken)
    const account = await withRetries(call, { clock, random }).catch(() => null)
    return account ?? { id: null, username: '' }
  }

  /** The connection that the account has from now on: this one, or one that it had before. */
  const settle = async (id: string, account: Account, given: string): Promise<string> => {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const other = await findOther(id, account, given)
      if (!other) {
        const username = account.username === '' ? visibleText(given) : account.username
        if (await store.identifyConnection({ id, accountId: account.id, username })) return id
      } else {
        // Known to be the same only now: what an earlier run gave to apps works on, beside the other.
        if (await hasGrants(id)) return id
        if (other.status === 'needs_reconnect') await move(id, other, account)
        await replace(id, other.id)
        return other.id
      }
    }
    throw new Error('the connection kept changing while it was imported')
  }

  const hasGrants = async (connectionId: string): Promise<boolean> =>
    (await store.listGrants(connectionId)).some(({ revokedAt }) => revokedAt === null)

  const findOther = async (id: string, account: Account, given: string) => {
    const known = account.id === null ? untold.get(given) : undefined
    if (account.id === null) untold.set(given, known ?? id)
    const other =
      account.id === null
        ? known === undefined
          ? undefined
          : await store.getConnection(known)
        : await store.findConnection(account.id)
    return other && other.id !== id && other.status !== 'revoked' ? other : undefined
  }

  /** A connection that Ellipsis Drive refuses gets the tokens that it takes. */
  const move = async (from: string, to: Connection, account: Account): Promise<void> => {
    const source = await store.getConnection(from)
    const access = source && openStored(source, vault)
    // Somebody revoked it meanwhile.
    if (!source?.refreshToken || !access) return
    const refreshToken = vault.open(associatedData.refreshToken(from), source.refreshToken)
    await store.saveConnection({
      id: to.id,
      expectedGeneration: to.generation,
      accountId: account.id,
      username: account.username,
      tokens: {
        ...seal(to.id, refreshToken, access.value),
        accessTokenExpiresAt: access.expiresAt,
        accessTokenFetchedAt: access.fetchedAt,
      },
      now: clock.now(),
      code: null,
      events: [event('connection.renewed', to.id)],
    })
  }

  /** The grant of this line, from an earlier run or new, and its broker token; `null`: it was revoked. */
  const begin = async (connectionId: string, { appId, refreshToken }: Holding, life: number) => {
    const id = idOf('grant', [clientId, refreshToken.reveal(), appId])
    const issuedAtSeconds = Math.floor(clock.now() / 1000)
    const grant: Grant = {
      id,
      appId,
      connectionId,
      scope: 'projects',
      jti: random(16).toString('base64url'),
      jkt: null,
      issuedAtSeconds,
      expiresAtSeconds: issuedAtSeconds + life,
      jtiUsedAt: null,
      previousJti: null,
      device: 'imported',
      createdAt: clock.now(),
      lastUsedAt: null,
      revokedAt: null,
    }
    const begun = await store.addGrant(grant, {
      source: null,
      now: clock.now(),
      events: [event('grant.begun', connectionId, { appId, grantId: id, details: 'imported' })],
    })
    const current = begun ? grant : await store.getGrant(id)
    const isLive = current?.revokedAt === null && current.expiresAtSeconds > issuedAtSeconds
    return { begun, brokerToken: isLive ? new Secret(await tokens.sign(current)) : null }
  }

  const prove = async (id: string, appId: string): Promise<Secret> => {
    const requirement = { minTtlSeconds: 60, fetchedAfter: null, evenIfPaused: true, appId }
    return (await refresher.get(id, requirement)).value
  }

  return {
    async take(holding) {
      const { account: given, appId } = holding
      const app = await store.getApp(appId)
      if (!app) return { status: 'no_app', reason: `there is no app ${appId}` }
      if (app.dpop === 'required') {
        const reason = `${appId} takes only broker tokens that are bound to a key of its own`
        return { status: 'no_app', reason }
      }
      let stored = await keepFirst(holding)
      if (stored.status === 'revoked') {
        if (stored.importState !== 'rejected') {
          return takeAgain(stored, holding, app.tokenLifetimeSeconds)
        }
        if (!(await removeRejectedImport(store, clock, stored.id))) {
          const reason = 'what an earlier run left of it is being erased; run it again'
          return { status: 'failed', reason }
        }
        stored = await keepFirst(holding)
      }
      let accessToken: Secret
      try {
        accessToken = await prove(stored.id, appId)
      } catch (error) {
        return refuse(error, stored.id)
      }
      const account = await identify(accessToken)
      if (isAnother(account, given)) {
        const name = account.username || account.id
        return { status: 'mismatch', reason: `the token is of ${name}, not of ${given}` }
      }
      const connectionId = await settle(stored.id, account, given)
      const grant = await begin(connectionId, holding, app.tokenLifetimeSeconds)
      return {
        status: grant.begun && connectionId === stored.id ? 'imported' : 'already',
        connectionId,
        brokerToken: grant.brokerToken,
      }
    },
  }

  /** One that was revoked: as a second connection of its account, or by an admin or its user. */
  async function takeAgain(
    { id, replacedBy }: Connection,
    holding: Holding,
    life: number,
  ): Promise<Imported> {
    const connection = replacedBy === null ? undefined : await store.getConnection(replacedBy)
    if (!connection || connection.status === 'revoked') {
      return { status: 'refused', reason: await whyRevoked(id) }
    }
    const { brokerToken } = await begin(connection.id, holding, life)
    return { status: 'already', connectionId: connection.id, brokerToken }
  }

  async function refuse(error: unknown, id: string): Promise<Imported> {
    if (!(error instanceof BrokerError)) throw error
    const connection = await store.getConnection(id)
    const pendingImport = connection !== undefined && isPendingImport(connection)
    if (error.code === 'server_error') {
      if (pendingImport) {
        await rejectPendingImport(store, clock, id, 'clientRefused')
        await removeRejectedImport(store, clock, id)
      }
      throw error
    }
    if (error.code !== 'needs_reconnect') return { status: 'failed', reason: whyNot(error) }
    // One that has worked may be in use, and the refusal may pass: how it stands is the refresh's to say.
    if (!pendingImport) {
      const reason = `Ellipsis Drive refuses the token of ${id} now; it stays, and is asked about again`
      return { status: 'refused', reason }
    }
    await rejectPendingImport(store, clock, id, 'refused')
    return { status: 'refused', reason: REJECTIONS.refused }
  }
}

/** Why a token could be neither proven nor refused. */
function whyNot({ code, cause }: BrokerError): string {
  if (code === 'connection_revoked') return 'it was revoked here meanwhile'
  if (cause instanceof EllipsisError && cause.kind === 'refused') {
    return 'Ellipsis Drive refuses one token after the other, which may not be for the tokens; run it again'
  }
  return `${(cause as Error).message}; run it again`
}

/** Is it certain that the token is not of the account that the host says? */
const isAnother = ({ id, username }: Account, given: string): boolean =>
  (id !== null || username !== '') && given !== id && visibleText(given) !== username

/** An id of 128 bits, as others have, that is the same for the same token. */
const idOf = (prefix: string, parts: string[]): string =>
  `${prefix}_${sha256(['import', ...parts].join('\n')).slice(0, 22)}`
