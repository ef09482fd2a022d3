import type { App, Code, Store } from '../../db/store.ts'
import { BrokerError } from '../errors.ts'
import type { Secret } from '../secret.ts'
import type { Clock } from '../runtime.ts'
import { keyToBind } from './dpop.ts'
import type { Proof } from './dpop.ts'
import { grantBegunEvent } from './grants.ts'
import type { IssuedToken, NewGrant } from './grants.ts'
import { equalHashes, sha256 } from '../crypto/hash.ts'
import { findRedirectUri } from './redirect-uri.ts'

/** A request to redeem a code (RFC 6749 4.1.3, RFC 7636 4.5). */
export interface Redemption {
  app: App
  code: Secret
  verifier: Secret
  /** `undefined`: left out, as an app with one redirect URI may. */
  redirectUri: string | undefined
  /** Binds the grant to a key. */
  proof: Proof | null
  address: string
}

/** Turns a one-time code into a grant and its first broker token. */
export interface Redeem {
  /**
   * @param prepare runs before the code is used up: if it throws, the app may redeem the code again
   * @throws BrokerError `invalid_grant`, `invalid_dpop_proof`
   */
  redeem(redemption: Redemption, prepare?: (code: Code) => Promise<void>): Promise<IssuedToken>
}

export function createRedeem(needs: { store: Store; newGrant: NewGrant; clock: Clock }): Redeem {
  const { store, newGrant, clock } = needs

  /** A code that comes twice has been stolen from one of the two: what it began ends (RFC 6749 4.1.2). */
  const refuseUsed = async (code: Code, address: string): Promise<never> => {
    const now = clock.now()
    const { grantId, appId, connectionId } = code
    if (grantId !== null) {
      const event = { at: now, actor: 'system', action: 'grant.revoked', appId, grantId, address }
      const details = 'its code was used a second time'
      await store.revokeGrants({ id: grantId, now, events: [{ ...event, connectionId, details }] })
    }
    throw refuse('This code was used before; the grant that it began is revoked.')
  }

  const check = async (redemption: Redemption): Promise<Code> => {
    const { app, verifier, redirectUri } = redemption
    const code = await store.getCode(sha256(redemption.code.reveal()))
    if (!code || code.appId !== app.id) throw refuse('This code is not known.')
    const proven = equalHashes(code.challenge, sha256(verifier.reveal()))
    if (code.usedAt !== null) {
      // Whoever can't prove the verifier holds nothing but a copy, and may not end others' grants.
      if (!proven && !app.confidential) throw refuse('The code_verifier is not the right one.')
      return refuseUsed(code, redemption.address)
    }
    if (code.expiresAt <= clock.now()) throw refuse('This code has ended; it lives a minute.')
    if (
      redirectUri === undefined ? app.redirectUris.length > 1 : redirectUri !== code.redirectUri
    ) {
      throw refuse('Send the redirect_uri that the authorization was asked for with.')
    }
    if (!findRedirectUri(app.redirectUris, code.redirectUri)) {
      throw refuse('The app no longer has the redirect URI that this code went to.')
    }
    if (!proven) throw refuse('The code_verifier is not the right one.')
    if (code.jkt !== null && code.jkt !== redemption.proof?.jkt) {
      throw refuse('Send a DPoP proof of the key that dpop_jkt named.')
    }
    return code
  }

  return {
    async redeem(redemption, prepare) {
      const { app, address } = redemption
      const code = await check(redemption)
      const jkt = await keyToBind(app, redemption.proof)
      await prepare?.(code)
      const issued = await newGrant(code, app, jkt)
      const { grant } = issued
      const now = clock.now()
      const events = [grantBegunEvent(grant, address)]
      const source = { codeHash: code.codeHash }
      if (await store.addGrant(grant, { source, now, events })) return issued
      const again = await store.getCode(code.codeHash)
      if (again?.usedAt) return refuseUsed(again, address)
      throw refuse('This code has ended.')
    },
  }
}

const refuse = (description: string): BrokerError =>
  new BrokerError('invalid_grant', { description })
