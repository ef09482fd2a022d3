import type { App, Code, DeviceCode, Grant, Hash, Millis, NewEvent, Store } from '../../db/store.ts'
import type { BrokerTokens } from './broker-token.ts'
import type { Clock, Random } from '../runtime.ts'
import { newId } from '../crypto/hash.ts'

/** A grant and its current broker token. */
export interface IssuedToken {
  grant: Grant
  token: string
  /** Seconds. */
  expiresIn: number
}

/** A token, and what its ID token says of the authorization: see `Authentication`. */
export interface AuthenticatedToken extends IssuedToken {
  nonce: string | null
  authenticatedAt: Millis | null
}

/** What the user authorized: the part of a code or device code that goes into the grant. */
export type Authorization = Pick<
  Code,
  'connectionId' | 'scope' | 'device' | 'browserHash' | 'policy' | 'externalId'
>

/**
 * When a grant ends, however often it is renewed (RFC 9700 4.14.2), seconds since the epoch; `Infinity`: it
 * lasts as long as it is renewed.
 */
export const grantEndSeconds = (
  { createdAt }: Pick<Grant, 'createdAt'>,
  { grantLifetimeSeconds }: Pick<App, 'grantLifetimeSeconds'>,
): number =>
  grantLifetimeSeconds === null ? Infinity : Math.floor(createdAt / 1000) + grantLifetimeSeconds

/** The times of a token that is issued now; it does not outlive its grant. */
export const tokenTimes = (
  grant: Pick<Grant, 'createdAt'>,
  app: Pick<App, 'grantLifetimeSeconds' | 'tokenLifetimeSeconds'>,
  now: Millis,
): Pick<Grant, 'issuedAtSeconds' | 'expiresAtSeconds'> => {
  const issuedAtSeconds = Math.floor(now / 1000)
  const expiresAtSeconds = issuedAtSeconds + app.tokenLifetimeSeconds
  return {
    issuedAtSeconds,
    expiresAtSeconds: Math.min(expiresAtSeconds, grantEndSeconds(grant, app)),
  }
}

/**
 * Creates a grant and its first broker token; the caller stores the grant.
 * @param jkt thumbprint of the key that the grant is bound to; `null`: bearer tokens
 */
export type NewGrant = (
  authorization: Authorization,
  app: App,
  jkt: Hash | null,
) => Promise<IssuedToken>

export function createNewGrant(deps: {
  tokens: BrokerTokens
  clock: Clock
  random: Random
}): NewGrant {
  const { tokens, clock, random } = deps
  return async ({ connectionId, scope, device, browserHash, policy, externalId }, app, jkt) => {
    const createdAt = clock.now()
    const times = tokenTimes({ createdAt }, app, createdAt)
    const grant: Grant = {
      id: newId(random, 'grant'),
      appId: app.id,
      connectionId,
      scope,
      jti: random(16).toString('base64url'),
      jkt,
      ...times,
      jtiUsedAt: null,
      previousJti: null,
      successorsSinceSeconds: null,
      device,
      browserHash,
      policy,
      externalId,
      createdAt,
      lastUsedAt: null,
      revokedAt: null,
    }
    const expiresIn = times.expiresAtSeconds - times.issuedAtSeconds
    return { grant, token: await tokens.sign(grant), expiresIn }
  }
}

/** The event of a new grant. */
export const grantBegunEvent = (grant: Grant, address: string): NewEvent => ({
  at: grant.createdAt,
  actor: 'app',
  action: 'grant.begun',
  appId: grant.appId,
  connectionId: grant.connectionId,
  grantId: grant.id,
  details: grant.device,
  address,
})

/** A code that is used twice was copied: revokes the grant of its first use (RFC 6749 4.1.2). */
export async function revokeReused(
  store: Pick<Store, 'revokeGrants'>,
  { grantId, appId, connectionId }: Pick<Code | DeviceCode, 'grantId' | 'appId' | 'connectionId'>,
  { now, address, details }: { now: Millis; address: string; details: string },
): Promise<void> {
  if (grantId === null) return
  const event = { at: now, actor: 'system', action: 'grant.revoked', appId, grantId }
  const events = [{ ...event, connectionId, address, details }]
  await store.revokeGrants({ id: grantId, now, events })
}
