import { timingSafeEqual } from 'node:crypto'
import { calculateJwkThumbprint, EmbeddedJWK, errors, jwtVerify } from 'jose'
import type { App, Hash, Millis, Store } from '../../db/store.ts'
import { BrokerError } from '../errors.ts'
import type { Clock } from '../runtime.ts'
import { sha256 } from '../crypto/hash.ts'
import type { Vault } from '../crypto/vault.ts'

/** What a proof may be signed with. */
export const DPOP_ALGORITHMS = ['ES256', 'ES384', 'EdDSA', 'Ed25519']

/** A proof that holds (RFC 9449 4.3): whoever sent the request has the private key, now. */
export interface Proof {
  /** SHA-256 thumbprint of the key (RFC 7638). */
  jkt: Hash
  /** Uses it up. Call it when all else is in order. @throws BrokerError if it was used before */
  use(): Promise<void>
}

/** What a proof has to be for. */
export interface ProvenRequest {
  method: string
  /** As the client sees it; query and fragment don't count. */
  url: string
  /** The token that it goes with, where it is presented to be used (RFC 9449 7). */
  accessToken?: string | undefined
}

/** Proof of possession (RFC 9449): a token bound to a key is worth nothing without that key. */
export interface Dpop {
  /** What the next proof has to carry. The same in every process that has the same keys. */
  nonce(): string
  /** @throws BrokerError `invalid_dpop_proof`, `use_dpop_nonce` */
  verify(proof: string, request: ProvenRequest): Promise<Proof>
}

/** A nonce is good for the rest of its window and for the one after it, milliseconds. */
const WINDOW = 5 * 60_000
/** How far the client's clock may be off, milliseconds. */
const SKEW = 5 * 60_000
/** Longer ones are no proofs: they have some 500 characters. */
const MAX_LENGTH = 4096

export function createDpop(needs: { store: Store; vault: Vault; clock: Clock }): Dpop {
  const { store, vault, clock } = needs

  const nonces = (window: number): string[] =>
    vault.macs(`dpop nonce ${window}`).map((mac) => {
      const head = Buffer.alloc(4)
      head.writeUInt32BE(window)
      return Buffer.concat([head, mac.subarray(0, 16)]).toString('base64url')
    })
  const currentWindow = (): number => Math.floor(clock.now() / WINDOW)

  /** When a proof with that nonce is good no more. */
  const endOf = (nonce: unknown): Millis => {
    const current = currentWindow()
    for (const window of [current, current - 1]) {
      if (nonces(window).some((known) => same(known, nonce))) return (window + 2) * WINDOW
    }
    throw new BrokerError('use_dpop_nonce')
  }

  const use = async (jkt: Hash, jti: string, expiresAt: Millis): Promise<void> => {
    if (await store.useProof({ proofHash: sha256(`${jkt}.${jti}`), expiresAt })) return
    throw invalid('This DPoP proof was used before; make a new one for each request.')
  }

  return {
    nonce() {
      const [current = ''] = nonces(currentWindow())
      return current
    },

    async verify(proof, request) {
      const { jkt, claims } = await readProof(proof)
      const { jti, htm, htu, iat, ath, nonce } = claims
      if (htm !== request.method) throw invalid('htm is not the method of this request.')
      if (normalized(htu) !== normalized(request.url)) throw invalid('htu is not this address.')
      if (Math.abs(clock.now() - iat * 1000) > SKEW) throw invalid('iat is not now.')
      const { accessToken } = request
      if (accessToken !== undefined && ath !== sha256(accessToken)) {
        throw invalid('ath is not the hash of the token that it goes with.')
      }
      const expiresAt = endOf(nonce)
      return { jkt, use: () => use(jkt, jti, expiresAt) }
    },
  }
}

/**
 * The key that a new grant is bound to; `null`: none. Call it when all else is in order.
 * @throws BrokerError if the app has to send a proof, or sent a copy
 */
export async function keyToBind(app: App, proof: Proof | null): Promise<Hash | null> {
  if (!proof && app.dpop === 'required') {
    throw invalid('Send a DPoP proof: this app’s tokens are bound to its key.')
  }
  await proof?.use()
  return proof?.jkt ?? null
}

const invalid = (description: string, cause?: unknown): BrokerError =>
  new BrokerError('invalid_dpop_proof', { description, cause })

interface ProofClaims {
  jti: string
  htm: string
  htu: string
  /** Seconds since the epoch. */
  iat: number
  ath?: unknown
  nonce?: unknown
}

/** Form, signature and key of a proof; what it is for, the caller checks. */
async function readProof(proof: string): Promise<{ jkt: Hash; claims: ProofClaims }> {
  if (proof.length > MAX_LENGTH) throw invalid('This is no DPoP proof.')
  try {
    const { payload, protectedHeader } = await jwtVerify(proof, EmbeddedJWK, {
      algorithms: DPOP_ALGORITHMS,
      typ: 'dpop+jwt',
      requiredClaims: ['jti', 'htm', 'htu', 'iat'],
      // The time is checked by the broker's clock.
      clockTolerance: Number.MAX_SAFE_INTEGER,
    })
    const { jti, htm, htu } = payload
    const { jwk = {} } = protectedHeader
    if (typeof jti !== 'string' || typeof htm !== 'string' || typeof htu !== 'string') {
      throw new errors.JWTInvalid('claims of a wrong type')
    }
    const jkt = await calculateJwkThumbprint(jwk)
    return { jkt, claims: payload as unknown as ProofClaims }
  } catch (cause) {
    throw invalid('This is no DPoP proof, or its signature is not good.', cause)
  }
}

/** A URL without query and fragment, in the one way of writing it (RFC 3986 6.2); `null`: it is none. */
function normalized(text: string): string | null {
  const url = URL.parse(text)
  return url && url.origin + url.pathname
}

function same(known: string, given: unknown): boolean {
  if (typeof given !== 'string' || given.length !== known.length) return false
  const [one, other] = [Buffer.from(known), Buffer.from(given)]
  return one.length === other.length && timingSafeEqual(one, other)
}
