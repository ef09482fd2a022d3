import { associatedData } from '../../db/associated-data.ts'
import type { App, Connection, Grant, Store } from '../../db/store.ts'
import type { Account, EllipsisClient } from '../ellipsis/client.ts'
import { BrokerError } from '../errors.ts'
import { Secret } from '../secret.ts'
import { openStored } from '../refresh/access-token.ts'
import type { BrokerTokens } from '../oauth/broker-token.ts'
import { policyOf } from '../oauth/access-policy.ts'
import { tokenTimes } from '../oauth/grants.ts'
import type { Clock, Random } from '../runtime.ts'
import { withRetries } from '../refresh/failure-policy.ts'
import { sha256 } from '../crypto/hash.ts'
import type { Refresher } from '../refresh/refresher.ts'
import {
  describeFailure,
  IMPORT_ENDED,
  REJECTIONS,
  rejectPendingImport,
  isPendingImport,
  removeRejectedImport,
} from './pending-import.ts'
import type { Vault } from '../crypto/vault.ts'
import { visibleText } from '../visible-text.ts'

/** A refresh token that the host already has, issued to the same OAuth client. */
export interface ImportEntry {
  /** The account's id or username at Ellipsis Drive. */
  account: string
  refreshToken: Secret
  /** The `client_id` of the app that gets a grant. */
  appId: string
}

/** The result for one entry. */
export type ImportResult =
  | { status: 'imported' | 'already'; connectionId: string; brokerToken: Secret | null }
  | { status: 'refused' | 'mismatch' | 'failed' | 'no_app'; reason: string }

/**
 * Imports connections one at a time. A token is stored first and then verified by a normal refresh. If the
 * process is killed at any point, the newest refresh token is in the store, and importing the same entry again
 * continues. An account gets one connection, even if several entries name it.
 */
interface Importer {
  /** @throws BrokerError `server_error`: Ellipsis Drive rejects the broker's own client */
  importEntry(entry: ImportEntry): Promise<ImportResult>
}

const MAX_ATTEMPTS = 5

export function createImporter(dependencies: {
  store: Store
  vault: Vault
  ellipsis: EllipsisClient
  refresher: Refresher
  tokens: BrokerTokens
  clock: Clock
  random: Random
  /** Id of the OAuth client at Ellipsis Drive. */
  clientId: string
}): Importer {
  const { store, vault, ellipsis, refresher, tokens, clock, random, clientId } = dependencies
  /** Connections by the account that the entries name, where Ellipsis Drive does not return one. */
  const byNamedAccount = new Map<string, string>()

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

  /** The connection of this token, from an earlier run or new. Its id is derived from the token's hash. */
  const storeToken = async ({ account, refreshToken }: ImportEntry): Promise<Connection> => {
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
    /* c8 ignore next -- nothing deletes a row that was just stored */
    if (!stored) throw new Error('the stored connection is missing')
    return stored
  }

  /** Ends a duplicate connection of an account; it is then in no list. */
  const replace = (id: string, replacedBy: string): Promise<boolean> => {
    const details = `the account is connected as ${replacedBy}`
    const events = [event(IMPORT_ENDED, id, { details })]
    return store.revokeConnection({ id, now: clock.now(), why: { replacedBy }, events })
  }

  /** The reason for a revocation, for people: the details of the latest event. */
  const revocationReason = async (connectionId: string): Promise<string> =>
    (await store.listEvents({ filter: { connectionId }, limit: 1 })).rows[0]?.details ??
    'it was revoked here'

  const identify = async (accessToken: Secret): Promise<Account> => {
    const call = () => ellipsis.account(accessToken)
    const account = await withRetries(call, { clock, random }).catch(() => null)
    return account ?? { id: null, username: '' }
  }

  /** The connection that the account keeps: this one, or an existing one. */
  const settle = async (id: string, account: Account, named: string): Promise<string> => {
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      const other = await findOther(id, account, named)
      if (!other) {
        const username = account.username === '' ? visibleText(named) : account.username
        if (await store.identifyConnection({ id, accountId: account.id, username })) return id
      } else {
        // The account was unknown in an earlier run: grants issued then keep working.
        if (await hasGrants(id)) return id
        if (other.status === 'needs_reconnect') await moveTokens(id, other, account)
        await replace(id, other.id)
        return other.id
      }
    }
    throw new Error('the connection kept changing while it was imported')
  }

  const hasGrants = async (connectionId: string): Promise<boolean> =>
    (await store.listGrants(connectionId)).some(({ revokedAt }) => revokedAt === null)

  const findOther = async (id: string, account: Account, named: string) => {
    const known = account.id === null ? byNamedAccount.get(named) : undefined
    if (account.id === null) byNamedAccount.set(named, known ?? id)
    const other =
      account.id === null
        ? known === undefined
          ? undefined
          : await store.getConnection(known)
        : await store.findConnection(account.id)
    return other && other.id !== id && other.status !== 'revoked' ? other : undefined
  }

  /** Gives working tokens to a connection whose own tokens are rejected. */
  const moveTokens = async (from: string, to: Connection, account: Account): Promise<void> => {
    const source = await store.getConnection(from)
    const access = source && openStored(source, vault)
    // It was revoked in the meantime.
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
      events: [event('connection.reconnected', to.id)],
    })
  }

  /** The entry's grant, from an earlier run or new, and its broker token; `null` if the grant has ended. */
  const addGrant = async (connectionId: string, { appId, refreshToken }: ImportEntry, app: App) => {
    const id = idOf('grant', [clientId, refreshToken.reveal(), appId])
    const createdAt = clock.now()
    const grant: Grant = {
      id,
      appId,
      connectionId,
      scope: 'projects',
      jti: random(16).toString('base64url'),
      jkt: null,
      ...tokenTimes({ createdAt }, app, createdAt),
      jtiUsedAt: null,
      previousJti: null,
      successorsSinceSeconds: null,
      device: 'imported',
      browserHash: null,
      policy: policyOf(app),
      externalId: null,
      createdAt,
      lastUsedAt: null,
      revokedAt: null,
    }
    const isNew = await store.addGrant(grant, {
      source: null,
      now: clock.now(),
      events: [event('grant.begun', connectionId, { appId, grantId: id, details: 'imported' })],
    })
    const current = isNew ? grant : await store.getGrant(id)
    const isValid = current?.revokedAt === null && current.expiresAtSeconds * 1000 > createdAt
    return { isNew, brokerToken: isValid ? new Secret(await tokens.sign(current)) : null }
  }

  const verify = async (id: string, appId: string): Promise<Secret> => {
    const requirement = { minTtlSeconds: 60, fetchedAfter: null, evenIfPaused: true, appId }
    return (await refresher.get(id, requirement)).value
  }

  return {
    async importEntry(entry) {
      const { account: named, appId } = entry
      const app = await store.getApp(appId)
      if (!app) return { status: 'no_app', reason: `there is no app ${appId}` }
      if (app.dpop === 'required') {
        const reason = `${appId} requires DPoP, and an imported grant has no key`
        return { status: 'no_app', reason }
      }
      let stored = await storeToken(entry)
      if (stored.status === 'revoked') {
        if (stored.importState !== 'rejected') {
          return importRevoked(stored, entry, app)
        }
        if (!(await removeRejectedImport(store, clock, stored.id))) {
          const reason = 'the erasure of an earlier attempt is still pending; run the import again'
          return { status: 'failed', reason }
        }
        stored = await storeToken(entry)
      }
      let accessToken: Secret
      try {
        accessToken = await verify(stored.id, appId)
      } catch (error) {
        return failureOf(error, stored.id)
      }
      const account = await identify(accessToken)
      if (isOtherAccount(account, named)) {
        const name = (account.username || account.id) ?? ''
        // Not the name on the line: the token is kept for a corrected line, and must not look like that person's.
        if (stored.accountId === null) {
          await store.identifyConnection({ id: stored.id, accountId: null, username: name })
        }
        return { status: 'mismatch', reason: `the token belongs to ${name}, not to ${named}` }
      }
      const connectionId = await settle(stored.id, account, named)
      const grant = await addGrant(connectionId, entry, app)
      return {
        status: grant.isNew && connectionId === stored.id ? 'imported' : 'already',
        connectionId,
        brokerToken: grant.brokerToken,
      }
    },
  }

  /** The connection was revoked: as a duplicate, or by an admin, the user or the app. */
  async function importRevoked(
    { id, replacedBy }: Connection,
    entry: ImportEntry,
    app: App,
  ): Promise<ImportResult> {
    const connection = replacedBy === null ? undefined : await store.getConnection(replacedBy)
    if (!connection || connection.status === 'revoked') {
      return { status: 'refused', reason: await revocationReason(id) }
    }
    const { brokerToken } = await addGrant(connection.id, entry, app)
    return { status: 'already', connectionId: connection.id, brokerToken }
  }

  async function failureOf(error: unknown, id: string): Promise<ImportResult> {
    if (!(error instanceof BrokerError)) throw error
    const connection = await store.getConnection(id)
    const isPending = connection !== undefined && isPendingImport(connection)
    if (error.code === 'server_error') {
      if (isPending) {
        await rejectPendingImport(store, clock, id, 'clientRejected')
        await removeRejectedImport(store, clock, id)
      }
      throw error
    }
    if (error.code !== 'needs_reconnect')
      return { status: 'failed', reason: describeFailure(error) }
    // A token that has worked may be in use, and the rejection may be temporary.
    if (!isPending) {
      const reason = `Ellipsis Drive rejects the token of ${id} at the moment; it is kept and retried`
      return { status: 'refused', reason }
    }
    await rejectPendingImport(store, clock, id, 'tokenRejected')
    return { status: 'refused', reason: REJECTIONS.tokenRejected }
  }
}

/** Is it certain that the token belongs to another account than the entry names? */
const isOtherAccount = ({ id, username }: Account, named: string): boolean =>
  (id !== null || username !== '') && named !== id && visibleText(named) !== username

/** An id of 128 bits, like other ids, that is the same for the same token. */
const idOf = (prefix: string, parts: string[]): string =>
  `${prefix}_${sha256(['import', ...parts].join('\n')).slice(0, 22)}`
