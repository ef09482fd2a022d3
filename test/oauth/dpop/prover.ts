import { randomUUID } from 'node:crypto'
import { calculateJwkThumbprint, exportJWK, generateKeyPair, SignJWT } from 'jose'
import type { JWTPayload } from 'jose'
import { sha256 } from '../../../server/crypto/hash.ts'
import type { TestBroker } from '../../helper.ts'

/** Overrides of a proof. */
export interface ProofOverrides {
  claims?: Record<string, unknown>
  header?: Record<string, unknown>
  key?: CryptoKey | Uint8Array
}

/** A key of an app, and requests with proofs of it. */
export async function createProver(broker: TestBroker, alg = 'ES256') {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true })
  const jwk = await exportJWK(publicKey)
  const jkt = await calculateJwkThumbprint(jwk)
  let nonce: string | null = null

  /** Creates a proof for a request. `token`: the token that is presented with it at /exchange. */
  const prove = (path: string, token?: string, { claims, header, key }: ProofOverrides = {}) => {
    const payload: JWTPayload = {
      jti: randomUUID(),
      htm: 'POST',
      htu: broker.url + path,
      iat: Math.floor(broker.clock.now() / 1000),
      ...(token !== undefined && { ath: sha256(token) }),
      ...(nonce !== null && { nonce }),
      ...claims,
    }
    return new SignJWT(payload)
      .setProtectedHeader({ alg, typ: 'dpop+jwt', jwk, ...header })
      .sign(key ?? privateKey)
  }

  /** Posts a form with a proof, without a retry; keeps the returned nonce. */
  const post = async (path: string, form: Record<string, string>, overrides?: ProofOverrides) => {
    const headers = { dpop: await prove(path, undefined, overrides) }
    const body = new URLSearchParams(form)
    return answer(await fetch(broker.url + path, { method: 'POST', body, headers }))
  }

  /** Swaps at /exchange with a proof. */
  const exchange = async (token: string, overrides?: ProofOverrides) => {
    const proof = await prove('/exchange', token, overrides)
    const headers = { authorization: `DPoP ${token}`, dpop: proof }
    return answer(await fetch(`${broker.url}/exchange`, { method: 'POST', headers }))
  }

  const answer = async (response: Response) => {
    nonce = response.headers.get('dpop-nonce') ?? nonce
    const body = (await response.json()) as Record<string, unknown>
    return { status: response.status, headers: response.headers, body }
  }

  /** Gets the first nonce. */
  await post('/oauth/token', { grant_type: 'refresh_token' })
  return { jkt, jwk, privateKey, prove, post, exchange, nonce: () => nonce }
}

export type Prover = Awaited<ReturnType<typeof createProver>>
