import { LRUCache } from 'lru-cache'
import type { Grant, Hash, Millis, Store } from '../../db/store.ts'
import type { UpstreamBudget } from '../connections/upstream-budget.ts'
import { sha256 } from '../crypto/hash.ts'
import type { EllipsisClient } from '../ellipsis/client.ts'
import { BrokerError } from '../errors.ts'
import { upstreamError } from '../refresh/failure-policy.ts'
import type { Clock } from '../runtime.ts'
import { Secret } from '../secret.ts'
import type { SubjectOf } from './account-subject.ts'
import { tokenRefused } from './broker-token.ts'
import type { BrokerTokens } from './broker-token.ts'
import type { Proof } from './dpop.ts'
import { grantEndSeconds } from './grants.ts'
import { OPENID, PROFILE, SCOPES, includesScope } from './scope.ts'
import { checkKey } from './token-authentication.ts'
import { inspectGrant } from './token-status.ts'

/** Claims about a user (OpenID Connect Core 5.1). */
export interface Identity {
  sub: string
  /** With scope `profile`, if Ellipsis Drive tells a name. */
  preferred_username?: string
}

/** Who the user of a token is (OpenID Connect Core 5.3). Writes nothing: no `jti` counts as used. */
export interface UserInfo {
  /**
   * @param token a broker token; or Ellipsis Drive's access token, which is all that an app with
   *   `tokens: 'ellipsis'` can send
   * @param network of the client; `null`: unknown
   * @throws BrokerError `token_refused`, `connection_revoked`, `insufficient_scope`, `slow_down`,
   *   `temporarily_unavailable`
   */
  read(token: string, proof: Proof | null, network: string | null): Promise<Identity>
}

/** Ellipsis Drive is asked once in this time whose a valid token is. */
const ACCOUNT_LIFETIME_MS = 60_000
const MAX_ACCOUNTS = 1000
/** What can be sent in a header. */
const BEARER_TOKEN = /^[\x21-\x7e]{1,4096}$/

export function createUserInfo(deps: {
  store: Store
  tokens: BrokerTokens
  ellipsis: EllipsisClient
  clock: Clock
  subjectOf: SubjectOf
  /** For tokens that Ellipsis Drive has to check. */
  budget: UpstreamBudget
}): UserInfo {
  const { store, tokens, ellipsis, clock, subjectOf, budget } = deps
  /** Ids of accounts, by the hash of their token. */
  const accounts = new LRUCache<Hash, { id: string; expiresAt: Millis }>({ max: MAX_ACCOUNTS })

  const readByBrokerToken = async (token: string, proof: Proof | null): Promise<Identity> => {
    const claims = await tokens.verify(token)
    const live = await inspectGrant(store, claims, clock.now())
    if (live.app.session === 'cookie') throw tokenRefused('session_is_cookie')
    checkKey(live, proof)
    await proof?.use()
    if (!includesScope(live.grant.scope, OPENID)) throw new BrokerError('insufficient_scope')
    return readIdentity(live.grant, store, subjectOf)
  }

  /** Ellipsis Drive says whose its token is. Only a connected account has a subject here. */
  const findConnection = async (token: string, network: string | null) => {
    const tokenHash = sha256(token)
    const known = accounts.get(tokenHash)
    if (known && known.expiresAt > clock.now()) return store.findConnection(known.id)
    const giveBack = budget.take(network)
    const account = await ellipsis.account(new Secret(token)).catch((error: unknown) => {
      throw upstreamError(error)
    })
    if (account?.id == null) return undefined
    giveBack()
    accounts.set(tokenHash, { id: account.id, expiresAt: clock.now() + ACCOUNT_LIFETIME_MS })
    return store.findConnection(account.id)
  }

  /**
   * Ellipsis Drive's access tokens name neither app nor scope. So the user must have granted the scope to an app
   * that gets such tokens.
   */
  const scopeOfAccessTokens = async (connectionId: string): Promise<string> => {
    const granted: string[] = []
    for (const grant of await store.listGrants(connectionId)) {
      const app = grant.revokedAt === null ? await store.getApp(grant.appId) : undefined
      if (app?.tokens !== 'ellipsis' || grantEndSeconds(grant, app) * 1000 <= clock.now()) continue
      granted.push(grant.scope)
    }
    return SCOPES.filter((name) => granted.some((scope) => includesScope(scope, name))).join(' ')
  }

  const readByAccessToken = async (token: string, network: string | null): Promise<Identity> => {
    if (!BEARER_TOKEN.test(token)) throw tokenRefused('token_malformed')
    const connection = await findConnection(token, network)
    if (!connection) throw tokenRefused('account_not_connected')
    const scope = await scopeOfAccessTokens(connection.id)
    if (!includesScope(scope, OPENID)) throw new BrokerError('insufficient_scope')
    return readIdentity({ connectionId: connection.id, scope }, store, subjectOf)
  }

  return {
    read: (token, proof, network) =>
      proof !== null || tokens.isOwn(token)
        ? readByBrokerToken(token, proof)
        : readByAccessToken(token, network),
  }
}

/** The claims about the user of a grant, as far as its scope allows. */
export async function readIdentity(
  { connectionId, scope }: Pick<Grant, 'connectionId' | 'scope'>,
  store: Store,
  subjectOf: SubjectOf,
): Promise<Identity> {
  const connection = await store.getConnection(connectionId)
  if (!connection) throw new BrokerError('connection_revoked')
  const { username } = connection
  return {
    sub: subjectOf(connection),
    ...(includesScope(scope, PROFILE) && username !== '' && { preferred_username: username }),
  }
}
