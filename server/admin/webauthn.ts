import type {
  AuthenticationResponseJSON,
  PublicKeyCredentialCreationOptionsJSON,
  PublicKeyCredentialRequestOptionsJSON,
  RegistrationResponseJSON,
} from '@simplewebauthn/server'
import type { Admin, Passkey } from '../../db/store.ts'

/** Web Authentication Level 3 (W3C): what the browser is asked for, and checks of what it returns. */

/** The broker as the relying party: a passkey works only at this host name and origin. */
export interface RelyingParty {
  /** Host name, without port. */
  id: string
  /** Shown by the browser. */
  name: string
  /** With port. */
  origin: string
}

export type CreationOptions = PublicKeyCredentialCreationOptionsJSON
export type RequestOptions = PublicKeyCredentialRequestOptionsJSON

/** EdDSA, ES256 and RS256 (RFC 9053, RFC 8812): one of these is in every authenticator. */
const ALGORITHMS = [-8, -7, -257]
/** A longer name is not an identifier of an authenticator (WebAuthn 7.1 step 25). */
const MAX_CREDENTIAL_ID_LENGTH_CHARS = 1364
const MAX_RESPONSE_LENGTH_CHARS = 20_000
const MAX_TRANSPORTS = 10

/** The library takes 0.2 s to load, so only the first passkey loads it. */
const loadLibrary = async () => ({
  ...(await import('@simplewebauthn/server')),
  ...(await import('@simplewebauthn/server/helpers')),
})

/**
 * Options of a new passkey: stored in the authenticator (discoverable), so it can sign in without an e-mail address.
 * @param timeoutMs how long the person may take
 */
export const creationOptions = (
  rp: RelyingParty,
  { id, email }: Pick<Admin, 'id' | 'email'>,
  { challenge, known, timeoutMs }: { challenge: string; known: Passkey[]; timeoutMs: number },
): CreationOptions => ({
  rp: { id: rp.id, name: rp.name },
  user: { id: userHandle(id), name: email, displayName: email },
  challenge,
  pubKeyCredParams: ALGORITHMS.map((alg) => ({ alg, type: 'public-key' })),
  timeout: timeoutMs,
  excludeCredentials: known.map(descriptor),
  authenticatorSelection: {
    residentKey: 'required',
    requireResidentKey: true,
    userVerification: 'required',
  },
  attestation: 'none',
})

/** Options of using a passkey: one of `known`, or any of this broker's if there are none. */
export const requestOptions = (
  rp: RelyingParty,
  { challenge, known, timeoutMs }: { challenge: string; known: Passkey[]; timeoutMs: number },
): RequestOptions => ({
  rpId: rp.id,
  challenge,
  timeout: timeoutMs,
  allowCredentials: known.map(descriptor),
  userVerification: 'required',
})

const descriptor = ({ id, transports }: Passkey) =>
  ({ id, type: 'public-key', transports }) as NonNullable<
    RequestOptions['allowCredentials']
  >[number]

/** What the authenticator stores for the account: its id, which says nothing about the person. */
const userHandle = (adminId: string): string => Buffer.from(adminId).toString('base64url')

/** Reads the browser's response, JSON of a `PublicKeyCredential`. `undefined`: the text is something else. */
function parseResponse<T extends { id: string }>(text: string): T | undefined {
  if (text.length > MAX_RESPONSE_LENGTH_CHARS) return undefined
  try {
    const value = JSON.parse(text) as Partial<T> | null
    const id = value?.id
    const isId = typeof id === 'string' && id.length <= MAX_CREDENTIAL_ID_LENGTH_CHARS
    return isId ? (value as T) : undefined
  } catch {
    return undefined
  }
}

/** The credential id of a response, unverified. */
export const credentialIdOf = (response: string): string | undefined =>
  parseResponse<AuthenticationResponseJSON>(response)?.id

/**
 * Verifies a new passkey (WebAuthn 7.1).
 * @returns what to store of it; `undefined`: it is invalid
 */
export async function verifyCreation(
  rp: RelyingParty,
  { response: text, challenge }: { response: string; challenge: string },
): Promise<Pick<Passkey, 'id' | 'publicKey' | 'counter' | 'transports'> | undefined> {
  const response = parseResponse<RegistrationResponseJSON>(text)
  if (!response) return undefined
  const library = await loadLibrary()
  try {
    if (!isSelfContained(response, library)) return undefined
    const { verified, registrationInfo } = await library.verifyRegistrationResponse({
      response,
      expectedChallenge: challenge,
      expectedOrigin: rp.origin,
      expectedRPID: rp.id,
      requireUserVerification: true,
      supportedAlgorithmIDs: ALGORITHMS,
    })
    if (!verified) return undefined
    const { id, publicKey, counter, transports } = registrationInfo.credential
    return { id, publicKey, counter, transports: readTransports(transports) }
  } catch {
    return undefined
  }
}

/** Does the attestation have no certificates? The library would call the servers that certificates name. */
function isSelfContained(
  { response }: RegistrationResponseJSON,
  { decodeAttestationObject }: Awaited<ReturnType<typeof loadLibrary>>,
): boolean {
  const attestation = decodeAttestationObject(
    new Uint8Array(Buffer.from(response.attestationObject, 'base64url')),
  )
  const format = attestation.get('fmt')
  return format === 'none' || (format === 'packed' && !attestation.get('attStmt').get('x5c'))
}

const readTransports = (transports: unknown): string[] =>
  Array.isArray(transports)
    ? transports
        .filter((one): one is string => typeof one === 'string' && /^[a-z-]{1,20}$/.test(one))
        .slice(0, MAX_TRANSPORTS)
    : []

/**
 * Verifies the use of a passkey (WebAuthn 7.2), except for its counter.
 * @returns its counter; `undefined`: it is invalid
 */
export async function verifyUse(
  rp: RelyingParty,
  { response: text, challenge }: { response: string; challenge: string },
  { id, publicKey, adminId }: Passkey,
): Promise<number | undefined> {
  const response = parseResponse<AuthenticationResponseJSON>(text)
  if (response?.id !== id) return undefined
  const { verifyAuthenticationResponse } = await loadLibrary()
  try {
    const handle = response.response.userHandle
    if (handle !== undefined && handle !== userHandle(adminId)) return undefined
    const { verified, authenticationInfo } = await verifyAuthenticationResponse({
      response,
      expectedChallenge: challenge,
      expectedOrigin: rp.origin,
      expectedRPID: rp.id,
      // The library checks the counter before the signature; here that order would let anyone report a copy.
      credential: { id, publicKey: new Uint8Array(publicKey), counter: 0 },
      requireUserVerification: true,
    })
    return verified ? authenticationInfo.newCounter : undefined
  } catch {
    return undefined
  }
}
