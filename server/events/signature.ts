import { createHmac, createPrivateKey, createPublicKey, sign } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import type { Webhook } from '../../db/store.ts'
import type { Random } from '../runtime.ts'
import { Secret } from '../secret.ts'

/** The key to verify messages with, shown when it is created. */
export interface SigningSecret {
  /** `whsec_…` (`v1`, secret) or `whpk_…` (`v1a`, public). */
  key: Secret
  isPublic: boolean
}

/** Signatures by the Standard Webhooks specification: HMAC-SHA-256 (`v1`) and Ed25519 (`v1a`). */

const KEY_LENGTH_BYTES = 32
/** An Ed25519 private key in PKCS #8 (RFC 8410 7), without its last 32 bytes: the seed. */
const PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex')

/** A key that signs: 32 bytes in base64, the shared secret or the seed of the private key. */
export const newSigningKey = (random: Random): Secret =>
  new Secret(random(KEY_LENGTH_BYTES).toString('base64'))

function privateKeyOf(key: Secret): KeyObject {
  const der = Buffer.concat([PKCS8_PREFIX, Buffer.from(key.reveal(), 'base64')])
  return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
}

/** The public key of `v1a`, base64; `null`: the method has none. */
export function publicKeyOf(signing: Webhook['signing'], key: Secret): string | null {
  if (signing === 'v1') return null
  const { x = '' } = createPublicKey(privateKeyOf(key)).export({ format: 'jwk' })
  return Buffer.from(x, 'base64url').toString('base64')
}

/**
 * The value of `webhook-signature`: one signature for each key.
 * @param message.timestampSeconds Unix seconds, as in `webhook-timestamp`
 */
export function signaturesOf(
  signing: Webhook['signing'],
  keys: Secret[],
  message: { id: string; timestampSeconds: number; body: string },
): string {
  const text = Buffer.from(`${message.id}.${message.timestampSeconds}.${message.body}`)
  const signatureOf = (key: Secret): Buffer =>
    signing === 'v1a'
      ? sign(null, text, privateKeyOf(key))
      : createHmac('sha256', Buffer.from(key.reveal(), 'base64')).update(text).digest()
  return keys.map((key) => `${signing},${signatureOf(key).toString('base64')}`).join(' ')
}

/** The key as receivers need it, by the specification's prefixes. */
export const shownKey = (key: Secret, publicKey: string | null): SigningSecret => ({
  key: new Secret(publicKey === null ? `whsec_${key.reveal()}` : `whpk_${publicKey}`),
  isPublic: publicKey !== null,
})
