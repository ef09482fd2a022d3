import type { App, Code, Store } from '../../db/store.ts'
import { browserHashOf } from '../connections/devices.ts'
import { BrokerError } from '../errors.ts'
import { Secret } from '../secret.ts'
import type { Clock, Random } from '../runtime.ts'
import { keyToBind } from './dpop.ts'
import type { Proof } from './dpop.ts'
import { grantBegunEvent, revokeReused } from './grants.ts'
import type { AuthenticatedToken, NewGrant } from './grants.ts'
import { equalHashes, newSecret, sha256 } from '../crypto/hash.ts'
import { explainRefusedRedirect, findRedirectUri } from './redirect-uri.ts'

/** How long an authorization code is valid (RFC 6749 4.1.2: at most ten minutes). */
export const CODE_LIFETIME_MS = 60_000

/** A code as it is stored when it is issued. */
type NewCode = Omit<Code, 'usedAt' | 'grantId'>

/** What a user has authorized; with neither challenge nor nonce, no code is issued. */
type Authorized = Pick<
  Code,
  'appId' | 'redirectUri' | 'nonce' | 'jkt' | 'scope' | 'device' | 'policy' | 'externalId'
> & {
  challenge: string | null
}

/** Does the app get a code? Not on a plain connect link, which has neither challenge nor nonce. */
export const issuesCode = ({
  challenge,
  nonce,
}: Pick<Authorized, 'challenge' | 'nonce'>): boolean => challenge !== null || nonce !== null

/**
 * Issues a code for an authorization, and its record; `null`: the flow issues none.
 * @param browser the secret of the browser's cookie
 */
export function issueCode(
  flow: Authorized,
  { connectionId, browser }: { connectionId: string; browser: Secret },
  { clock, random }: { clock: Clock; random: Random },
): { code: Secret; record: NewCode } | null {
  const { appId, redirectUri, nonce, jkt, scope, device, policy, externalId } = flow
  if (!issuesCode(flow)) return null
  const challenge = flow.challenge ?? ''
  const code = newSecret(random)
  const [createdAt, expiresAt] = [clock.now(), clock.now() + CODE_LIFETIME_MS]
  const browserHash = browserHashOf(browser, appId, connectionId)
  const authorized = {
    ...{ appId, redirectUri, challenge, nonce, jkt, connectionId, scope, device },
    browserHash,
    policy,
    externalId,
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
  /** `null`: none was sent, which only a code without a challenge allows. */
  verifier: Secret | null
  /** `undefined`: omitted, as an app with one redirect URI may. */
  redirectUri: string | undefined
  /** Binds the grant to a key. */
  proof: Proof | null
  /** The app's own id of the user; without one, that of the authorization request counts. */
  externalId?: string | null
  address: string
}

/** Turns an authorization code into a grant and its first broker token. */
export interface Redeem {
  /**
   * @param prepare runs before the code is used up: if it throws, the app may redeem the code again
   * @throws BrokerError `invalid_grant`, `invalid_dpop_proof`
   */
  redeem(request: CodeRequest, prepare?: (code: Code) => Promise<void>): Promise<AuthenticatedToken>
}

export function createRedeem(deps: { store: Store; newGrant: NewGrant; clock: Clock }): Redeem {
  const { store, newGrant, clock } = deps

  const refuseReuse = async (code: Code, address: string): Promise<never> => {
    const details = 'its code was used a second time'
    await revokeReused(store, code, { now: clock.now(), address, details })
    throw invalidGrant('code_reused', 'This code was used before; its grant is revoked.')
  }

  const checkCode = async (request: CodeRequest): Promise<Code> => {
    const { app, verifier, redirectUri, proof, address } = request
    const code = await store.getCode(sha256(request.code.reveal()))
    if (!code) throw invalidGrant('code_unknown', 'This code is unknown.')
    if (code.appId !== app.id) throw invalidGrant('code_of_another_app', 'This code is unknown.')
    const isVerified = isVerifierOf(code, verifier)
    if (code.usedAt !== null) {
      // Without the verifier, the sender has only a copy of the code, and may not revoke the grant.
      if (!isVerified && !app.confidential) throw wrongVerifier()
      return refuseReuse(code, address)
    }
    if (code.expiresAt <= clock.now()) {
      throw invalidGrant(
        'code_expired',
        `This code has expired; it is valid for ${CODE_LIFETIME_MS / 1000} seconds.`,
      )
    }
    const isSameUri =
      redirectUri === undefined ? app.redirectUris.length <= 1 : redirectUri === code.redirectUri
    if (!isSameUri) throw wrongRedirectUri(app, code.redirectUri, redirectUri)
    if (!findRedirectUri(app.redirectUris, code.redirectUri)) {
      const description = 'The redirect URI of this code is no longer registered for the app.'
      throw invalidGrant('redirect_uri_removed', description)
    }
    if (!isVerified) throw wrongVerifier()
    if (code.jkt !== null && code.jkt !== proof?.jkt) {
      const description = 'Send a DPoP proof of the key that dpop_jkt named.'
      throw invalidGrant('dpop_key_mismatch', description)
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
      const externalId = request.externalId ?? code.externalId
      const issued = await newGrant({ ...code, externalId }, app, jkt)
      const { grant } = issued
      const events = [grantBegunEvent(grant, address)]
      const source = { codeHash }
      if (await store.addGrant(grant, { source, now: clock.now(), events })) {
        return { ...issued, nonce: code.nonce, authenticatedAt: code.createdAt }
      }
      const current = await store.getCode(codeHash)
      if (current?.usedAt) return refuseReuse(current, address)
      throw invalidGrant('code_expired', 'This code has expired.')
    },
  }
}

/** A code without a challenge takes no verifier, so that no one can leave the challenge out (RFC 9700 4.8.2). */
const isVerifierOf = ({ challenge }: Code, verifier: Secret | null): boolean =>
  verifier === null ? challenge === '' : equalHashes(challenge, sha256(verifier.reveal()))

/** @param reason for the log */
const invalidGrant = (reason: string, description: string): BrokerError =>
  new BrokerError('invalid_grant', { reason, description })

const wrongVerifier = (): BrokerError =>
  invalidGrant('code_verifier_mismatch', 'The code_verifier is wrong or missing.')

function wrongRedirectUri(app: App, authorized: string, sent: string | undefined): BrokerError {
  const description = 'Send the redirect_uri of the authorization request.'
  if (sent === undefined) return invalidGrant('redirect_uri_missing', description)
  const refused = explainRefusedRedirect({ ...app, redirectUris: [authorized] }, sent)
  // Registering it would not help.
  const problem = 'differs from the one of the authorization request'
  return new BrokerError('invalid_grant', {
    reason: 'redirect_uri_mismatch',
    description,
    refusedRedirect: { ...refused, problem },
  })
}
