import type { App, Grant, Hash } from '../../db/store.ts'
import type { BrokerTokens } from './broker-token.ts'
import type { Clock, Random } from '../runtime.ts'
import { newId } from '../crypto/hash.ts'

/** A grant's current token, as an app gets it. */
export interface IssuedToken {
  grant: Grant
  token: string
  /** Seconds. */
  expiresIn: number
}

/** What an authorization was for: the code, or device code, that it ended in. */
export interface Authorized {
  connectionId: string
  scope: string
  device: string
}

/** Makes a grant and its first broker token, bound to a key or not; whoever asks for it stores it. */
export type NewGrant = (authorized: Authorized, app: App, jkt: Hash | null) => Promise<IssuedToken>

export function createNewGrant(needs: {
  tokens: BrokerTokens
  clock: Clock
  random: Random
}): NewGrant {
  const { tokens, clock, random } = needs
  return async ({ connectionId, scope, device }, app, jkt) => {
    const issuedAtSeconds = Math.floor(clock.now() / 1000)
    const grant: Grant = {
      id: newId(random, 'grant'),
      appId: app.id,
      connectionId,
      scope,
      jti: random(16).toString('base64url'),
      jkt,
      issuedAtSeconds,
      expiresAtSeconds: issuedAtSeconds + app.tokenLifetimeSeconds,
      jtiUsedAt: null,
      previousJti: null,
      device,
      createdAt: clock.now(),
      lastUsedAt: null,
      revokedAt: null,
    }
    return { grant, token: await tokens.sign(grant), expiresIn: app.tokenLifetimeSeconds }
  }
}

/** The event of a grant's begin. */
export const grantBegunEvent = (grant: Grant, address: string) => ({
  at: grant.createdAt,
  actor: 'app',
  action: 'grant.begun',
  appId: grant.appId,
  connectionId: grant.connectionId,
  grantId: grant.id,
  details: grant.device,
  address,
})
