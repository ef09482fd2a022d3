import { timingSafeEqual } from 'node:crypto'
import { calculateJwkThumbprint, EmbeddedJWK, errors, jwtVerify } from 'jose'
import type { App, Hash, Millis, Store } from '../../db/store.ts'
import { BrokerError } from '../errors.ts'
import type { Clock } from '../runtime.ts'
import { isCanonicalJwt } from '../crypto/base64url.ts'
import { sha256 } from '../crypto/hash.ts'
import type { Vault } from '../crypto/vault.ts'

/** Accepted signature algorithms of a proof. */
export const DPOP_ALGORITHMS = ['ES256', 'ES384', 'EdDSA', 'Ed25519']

/** A verified proof (RFC 9449 4.3): the sender of the request has the private key. */
export interface Proof {
  /** SHA-256 thumbprint of the key (RFC 7638). */
  jkt: Hash
  /** Uses the proof up. Call it after all other checks. @throws BrokerError if it was used before */
  use(): Promise<void>
}

/** The request that a proof must be for. */
interface ProvenRequest {
  method: string
  /** As the client sees it; query and fragment are ignored. */
  url: string
  /** The token that is presented with the proof, if any (RFC 9449 7). */
  accessToken?: string | undefined
}

/** Demonstrating proof of possession (RFC 9449): a bound token is worthless without its key. */
interface Dpop {
  /** The nonce for the next proof. The same in every process with the same encryption keys. */
  nonce(): string
  /** @throws BrokerError `invalid_dpop_proof`, `use_dpop_nonce` */
  verify(proof: string, request: ProvenRequest): Promise<Proof>
}

/** A nonce is valid for the rest of its window and for the next one. */
const NONCE_WINDOW_MS = 5 * 60_000
/** Accepted difference of the client's clock. */
const MAX_CLOCK_SKEW_MS = 5 * 60_000
/** A proof has about 500 characters. */
const MAX_PROOF_LENGTH_CHARS = 4096

export function createDpop(deps: { store: Store; vault: Vault; clock: Clock }): Dpop {
  const { store, vault, clock } = deps

  const nonces = (window: number): string[] =>
    vault.macs(`dpop nonce ${window}`).map((mac) => {
      const prefix = Buffer.alloc(4)
      prefix.writeUInt32BE(window)
      return Buffer.concat([prefix, mac.subarray(0, 16)]).toString('base64url')
    })
  const currentWindow = (): number => Math.floor(clock.now() / NONCE_WINDOW_MS)

  /** When a proof with that nonce expires. @throws BrokerError if the nonce is not valid */
  const proofExpiry = (nonce: unknown): Millis => {
    const current = currentWindow()
    for (const window of [current, current - 1]) {
      if (nonces(window).some((valid) => equalNonces(valid, nonce)))
        return (window + 2) * NONCE_WINDOW_MS
    }
    throw new BrokerError('use_dpop_nonce')
  }

  const use = async (jkt: Hash, jti: string, expiresAt: Millis): Promise<void> => {
    if (await store.useProof({ proofHash: sha256(`${jkt}.${jti}`), expiresAt })) return
    throw invalidProof(
      'dpop_proof_reused',
      'This DPoP proof was used before; make a new one for each request.',
    )
  }

  return {
    nonce() {
      const [current = ''] = nonces(currentWindow())
      return current
    },

    async verify(proof, request) {
      const { jkt, claims } = await readProof(proof)
      const { jti, htm, htu, iat, ath, nonce } = claims
      if (htm !== request.method)
        throw invalidProof('dpop_htm_mismatch', 'htm is not the method of this request.')
      if (normalizeUrl(htu) !== normalizeUrl(request.url))
        throw invalidProof('dpop_htu_mismatch', 'htu is not the URL of this request.')
      if (Math.abs(clock.now() - iat * 1000) > MAX_CLOCK_SKEW_MS)
        throw invalidProof('dpop_iat_wrong', 'iat is not the current time.')
      const { accessToken } = request
      if (accessToken !== undefined && ath !== sha256(accessToken)) {
        throw invalidProof('dpop_ath_mismatch', 'ath is not the hash of the presented token.')
      }
      const expiresAt = proofExpiry(nonce)
      return { jkt, use: () => use(jkt, jti, expiresAt) }
    },
  }
}

/**
 * Uses the proof, and returns the key to bind a new grant to; `null`: none. Call it after all other checks.
 * @throws BrokerError if the app must send a proof, or the proof was used before
 */
export async function keyToBind(app: App, proof: Proof | null): Promise<Hash | null> {
  if (!proof && app.dpop === 'required') {
    throw invalidProof(
      'dpop_proof_missing',
      'Send a DPoP proof: this app’s tokens are bound to its key.',
    )
  }
  await proof?.use()
  return proof?.jkt ?? null
}

/** @param reason for the log */
const invalidProof = (reason: string, description: string, cause?: unknown): BrokerError =>
  new BrokerError('invalid_dpop_proof', { reason, description, cause })

interface ProofClaims {
  jti: string
  htm: string
  htu: string
  /** Seconds since the epoch. */
  iat: number
  ath?: unknown
  nonce?: unknown
}

/** Checks form, signature and key of a proof. The caller checks the claims. */
async function readProof(proof: string): Promise<{ jkt: Hash; claims: ProofClaims }> {
  if (proof.length > MAX_PROOF_LENGTH_CHARS || !isCanonicalJwt(proof)) {
    throw invalidProof('dpop_proof_malformed', 'This is not a DPoP proof.')
  }
  try {
    const { payload, protectedHeader } = await jwtVerify(proof, EmbeddedJWK, {
      algorithms: DPOP_ALGORITHMS,
      typ: 'dpop+jwt',
      requiredClaims: ['jti', 'htm', 'htu', 'iat'],
      // The caller checks the time by the broker's clock.
      clockTolerance: Number.MAX_SAFE_INTEGER,
    })
    const { jti, htm, htu } = payload
    const { jwk = {} } = protectedHeader
    if (typeof jti !== 'string' || typeof htm !== 'string' || typeof htu !== 'string') {
      throw new errors.JWTInvalid('a claim has the wrong type')
    }
    const jkt = await calculateJwkThumbprint(jwk)
    return { jkt, claims: payload as unknown as ProofClaims }
  } catch (cause) {
    throw invalidProof(
      'dpop_proof_malformed',
      'This is not a DPoP proof, or its signature is wrong.',
      cause,
    )
  }
}

/** The normalized URL (RFC 3986 6.2) without query and fragment; `null`: not a URL. */
function normalizeUrl(text: string): string | null {
  const url = URL.parse(text)
  return url && url.origin + url.pathname
}

/** Compares in constant time. */
function equalNonces(valid: string, received: unknown): boolean {
  if (typeof received !== 'string' || received.length !== valid.length) return false
  const [one, other] = [Buffer.from(valid), Buffer.from(received)]
  return one.length === other.length && timingSafeEqual(one, other)
}
