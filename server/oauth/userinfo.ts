import type { Grant, Store } from '../../db/store.ts'
import type { EllipsisClient } from '../ellipsis/client.ts'
import { BrokerError } from '../errors.ts'
import { upstreamError } from '../refresh/failure-policy.ts'
import type { Clock } from '../runtime.ts'
import { Secret } from '../secret.ts'
import type { SubjectOf } from './account-subject.ts'
import { tokenRefused } from './broker-token.ts'
import type { BrokerTokens } from './broker-token.ts'
import type { Proof } from './dpop.ts'
import { OPENID, PROFILE, PROJECTS, includesScope } from './scope.ts'
import { checkKey } from './swap.ts'
import { isGrantOver, readLiveGrant, tokenStatus } from './token-status.ts'

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
   * @throws BrokerError `token_refused`, `connection_revoked`, `insufficient_scope`, `temporarily_unavailable`
   */
  read(token: string, proof: Proof | null): Promise<Identity>
}

export function createUserInfo(deps: {
  store: Store
  tokens: BrokerTokens
  ellipsis: EllipsisClient
  clock: Clock
  subjectOf: SubjectOf
}): UserInfo {
  const { store, tokens, ellipsis, clock, subjectOf } = deps

  const readByBrokerToken = async (token: string, proof: Proof | null): Promise<Identity> => {
    const claims = await tokens.verify(token)
    const live = await readLiveGrant(store, claims)
    checkKey(live, proof)
    await proof?.use()
    const status = tokenStatus(live.grant, claims, clock.now())
    if (status === 'late' || status === 'unknown') throw tokenRefused('token_superseded')
    if (isGrantOver(live, clock.now())) throw tokenRefused('grant_over')
    if (!includesScope(live.grant.scope, OPENID)) throw new BrokerError('insufficient_scope')
    return readIdentity(live.grant, store, subjectOf)
  }

  /** Ellipsis Drive says whose its token is. Only a connected account has a subject here. */
  const readByAccessToken = async (token: string): Promise<Identity> => {
    const account = await ellipsis.account(new Secret(token)).catch((error: unknown) => {
      throw upstreamError(error)
    })
    const connection = account?.id == null ? undefined : await store.findConnection(account.id)
    if (!connection) throw tokenRefused('account_not_connected')
    const grant = { connectionId: connection.id, scope: `${OPENID} ${PROFILE} ${PROJECTS}` }
    return readIdentity(grant, store, subjectOf)
  }

  return {
    read: (token, proof) =>
      proof !== null || tokens.isOwn(token)
        ? readByBrokerToken(token, proof)
        : readByAccessToken(token),
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
