import { hash } from 'node:crypto'
import { SignJWT } from 'jose'
import type { Grant, Millis, Store } from '../../db/store.ts'
import type { SigningKeys } from '../crypto/signing-keys.ts'
import type { Clock } from '../runtime.ts'
import { readIdentity } from './userinfo.ts'
import type { SubjectOf } from './account-subject.ts'

/** Long enough for a library that verifies it at once; it is no session (OpenID Connect Core 2). */
const ID_TOKEN_LIFETIME_SECONDS = 3600

/** What an ID token is about. */
export interface Authentication {
  grant: Pick<Grant, 'appId' | 'connectionId' | 'scope'>
  /** The `nonce` of the authorization request; `null`: it had none. */
  nonce: string | null
  /** When the user came back from Ellipsis Drive; `null`: on another device, not known. */
  authenticatedAt: Millis | null
  /** The access token in the same response. */
  accessToken: string
}

/** Signs ID tokens (OpenID Connect Core 2), with RS256: every library verifies it. */
export interface IdTokens {
  /** Creates the first signing key if it does not exist yet. */
  prepare(): Promise<void>
  sign(authentication: Authentication): Promise<string>
}

export function createIdTokens(deps: {
  store: Store
  keys: SigningKeys
  clock: Clock
  publicUrl: string
  subjectOf: SubjectOf
}): IdTokens {
  const { store, keys, clock, publicUrl, subjectOf } = deps
  const prepare = () => keys.ensure('RS256')

  return {
    prepare,
    async sign({ grant, nonce, authenticatedAt, accessToken }) {
      await prepare()
      const { kid, key } = await keys.current('RS256')
      const iat = Math.floor(clock.now() / 1000)
      const exp = iat + ID_TOKEN_LIFETIME_SECONDS
      await keys.noteToken(kid, exp)
      const identity = await readIdentity(grant, store, subjectOf)
      return new SignJWT({
        ...identity,
        ...(nonce !== null && { nonce }),
        ...(authenticatedAt !== null && { auth_time: Math.floor(authenticatedAt / 1000) }),
        at_hash: accessTokenHash(accessToken),
      })
        .setProtectedHeader({ alg: 'RS256', typ: 'JWT', kid })
        .setIssuer(publicUrl)
        .setAudience(grant.appId)
        .setIssuedAt(iat)
        .setExpirationTime(exp)
        .sign(key)
    },
  }
}

/** The left half of the hash (OpenID Connect Core 3.1.3.6). */
const accessTokenHash = (accessToken: string): string =>
  hash('sha256', accessToken, 'buffer').subarray(0, 16).toString('base64url')
