import type { App, Code, Flow, Store } from '../../db/store.ts'
import { browserHashOf } from '../connections/devices.ts'
import { BrokerError } from '../errors.ts'
import { Secret } from '../secret.ts'
import type { Clock, Random } from '../runtime.ts'
import { keyToBind } from './dpop.ts'
import type { Proof } from './dpop.ts'
import { grantBegunEvent, revokeReused } from './grants.ts'
import type { IssuedToken, NewGrant } from './grants.ts'
import { equalHashes, newSecret, sha256 } from '../crypto/hash.ts'
import { findRedirectUri } from './redirect-uri.ts'

/** How long an authorization code is valid (RFC 6749 4.1.2: at most ten minutes). */
export const CODE_LIFETIME_MS = 60_000

/** A code as it is stored when it is issued. */
type NewCode = Omit<Code, 'usedAt' | 'grantId'>

/**
 * Issues a code for an authorization, and its record; `null`: the flow issues none.
 * @param browser the secret of the browser's cookie
 */
export function issueCode(
  flow: Flow,
  { connectionId, browser }: { connectionId: string; browser: Secret },
  { clock, random }: { clock: Clock; random: Random },
): { code: Secret; record: NewCode } | null {
  const { appId, redirectUri, challenge, jkt, scope, device } = flow
  if (challenge === null) return null
  const code = newSecret(random)
  const [createdAt, expiresAt] = [clock.now(), clock.now() + CODE_LIFETIME_MS]
  const browserHash = browserHashOf(browser, appId, connectionId)
  const authorized = {
    appId,
    redirectUri,
    challenge,
    jkt,
    connectionId,
    scope,
    device,
    browserHash,
  }
  return {
    code: new Secret(code),
    record: { ...authorized, codeHash: sha256(code), createdAt, expiresAt },
  }
}

/** A request to redeem an authorization code (RFC 6749 4.1.3, RFC 7636 4.5). */
export interface CodeRequest {
  app: App
  code: Secret
  verifier: Secret
  /** `undefined`: omitted, as an app with one redirect URI may. */
  redirectUri: string | undefined
  /** Binds the grant to a key. */
  proof: Proof | null
  address: string
}

/** Turns an authorization code into a grant and its first broker token. */
export interface Redeem {
  /**
   * @param prepare runs before the code is used up: if it throws, the app may redeem the code again
   * @throws BrokerError `invalid_grant`, `invalid_dpop_proof`
   */
  redeem(request: CodeRequest, prepare?: (code: Code) => Promise<void>): Promise<IssuedToken>
}

export function createRedeem(deps: { store: Store; newGrant: NewGrant; clock: Clock }): Redeem {
  const { store, newGrant, clock } = deps

  const refuseReuse = async (code: Code, address: string): Promise<never> => {
    const details = 'its code was used a second time'
    await revokeReused(store, code, { now: clock.now(), address, details })
    throw invalidGrant('This code was used before; its grant is revoked.')
  }

  const checkCode = async (request: CodeRequest): Promise<Code> => {
    const { app, verifier, redirectUri, proof, address } = request
    const code = await store.getCode(sha256(request.code.reveal()))
    if (!code || code.appId !== app.id) throw invalidGrant('This code is unknown.')
    const isVerified = equalHashes(code.challenge, sha256(verifier.reveal()))
    if (code.usedAt !== null) {
      // Without the verifier, the sender has only a copy of the code, and may not revoke the grant.
      if (!isVerified && !app.confidential) throw wrongVerifier()
      return refuseReuse(code, address)
    }
    if (code.expiresAt <= clock.now()) {
      throw invalidGrant(
        `This code has expired; it is valid for ${CODE_LIFETIME_MS / 1000} seconds.`,
      )
    }
    const isSameUri =
      redirectUri === undefined ? app.redirectUris.length <= 1 : redirectUri === code.redirectUri
    if (!isSameUri) throw invalidGrant('Send the redirect_uri of the authorization request.')
    if (!findRedirectUri(app.redirectUris, code.redirectUri)) {
      throw invalidGrant('The redirect URI of this code is no longer registered for the app.')
    }
    if (!isVerified) throw wrongVerifier()
    if (code.jkt !== null && code.jkt !== proof?.jkt) {
      throw invalidGrant('Send a DPoP proof of the key that dpop_jkt named.')
    }
    return code
  }

  return {
    async redeem(request, prepare) {
      const { app, address } = request
      const code = await checkCode(request)
      const { codeHash } = code
      const jkt = await keyToBind(app, request.proof)
      await prepare?.(code)
      const issued = await newGrant(code, app, jkt)
      const { grant } = issued
      const events = [grantBegunEvent(grant, address)]
      const source = { codeHash }
      if (await store.addGrant(grant, { source, now: clock.now(), events })) return issued
      const current = await store.getCode(codeHash)
      if (current?.usedAt) return refuseReuse(current, address)
      throw invalidGrant('This code has expired.')
    },
  }
}

const invalidGrant = (description: string): BrokerError =>
  new BrokerError('invalid_grant', { description })

const wrongVerifier = (): BrokerError => invalidGrant('The code_verifier is wrong.')
