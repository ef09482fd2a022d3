import { createCipheriv, createDecipheriv, createHmac, hkdfSync } from 'node:crypto'
import type { AssociatedData as Place, Sealed } from '../../db/store.ts'
import { BrokerError } from '../errors.ts'
import { Secret } from '../secret.ts'
import type { Random } from '../runtime.ts'

/** Seals secrets for storage, and opens them: at the place that they were sealed for, and nowhere else. */
export interface Vault {
  /** Encrypts for one place. Its length tells only which of four sizes the secret fits. */
  seal(place: Place, secret: Secret): Sealed
  /**
   * Decrypts. A value sealed with an unknown key makes the vault look for it among its keys anew, once.
   * @throws BrokerError `temporarily_unavailable` if the key is still unknown: the keys of this
   *   process are behind, which says nothing about the connection.
   * @throws Error if the value was changed, or moved from another place.
   */
  open(place: Place, sealed: Sealed): Secret
  /** What `text` is signed with: an HMAC-SHA-256 under each key, that of the key that seals first. */
  macs(text: string): Buffer[]
  /** Id of the key that seals. */
  keyId(): string
  /** Ids of all keys that open, the one that seals first. */
  keyIds(): string[]
  /**
   * Loads the keys anew, unless one of `known` is missing, the ids of keys that anything may be sealed with,
   * or another than these would seal: what it seals might never be opened again. Answers whether it did.
   */
  reload(known: string[]): boolean
  /** Id of the key that a value was sealed with; `null`: there is no sealed value, it was overwritten. */
  keyOf(sealed: Sealed): string | null
}

// Layout: version (1) | key id (8) | nonce (12) | ciphertext | tag (16).
const VERSION = 1
const NONCE_AT = 9
const TEXT_AT = 21
const TAG = 16

/** Sizes, in bytes, that a plaintext with its length in front is padded to. Access tokens may have 16 KiB. */
const SIZES = [320, 1_152, 4_352, 17_408]

interface Key {
  id: string
  bytes: Buffer
  mac: Buffer
}

/**
 * A vault over `loadKeys()`: 32-byte keys in base64url, the first of which seals.
 * AES-256-GCM with a fresh nonce a value; one key derived for each purpose (RFC 5869).
 */
export function createVault(loadKeys: () => Secret[], random: Random): Vault {
  let keys = loadKeys().map(toKey)
  const keyIds = () => keys.map((key) => key.id)

  const findKey = (id: string): Key => {
    const known = keys.find((key) => key.id === id)
    if (known) return known
    const loaded = loadKeys()
      .map(toKey)
      .find((key) => key.id === id)
    if (loaded) {
      keys = [...keys, loaded]
      return loaded
    }
    const cause = new Error(`sealed with key ${id}, which this process lacks`)
    throw new BrokerError('temporarily_unavailable', { cause, retryAfter: 10 })
  }

  return {
    seal(place, secret) {
      const key = keys[0]
      if (!key) throw new Error('there is no encryption key')
      const nonce = random(12)
      const head = Buffer.concat([Buffer.of(VERSION), Buffer.from(key.id, 'hex'), nonce])
      const cipher = createCipheriv('aes-256-gcm', key.bytes, nonce)
      cipher.setAAD(Buffer.concat([head, Buffer.from(place)]))
      const text = Buffer.concat([cipher.update(pad(secret)), cipher.final()])
      return Buffer.concat([head, text, cipher.getAuthTag()])
    },

    open(place, sealed) {
      const bytes = Buffer.from(sealed.buffer, sealed.byteOffset, sealed.byteLength)
      if (bytes[0] !== VERSION || bytes.length < TEXT_AT + TAG) {
        throw new Error(`no sealed value at ${place}`)
      }
      const head = bytes.subarray(0, TEXT_AT)
      const key = findKey(head.toString('hex', 1, NONCE_AT))
      const decipher = createDecipheriv('aes-256-gcm', key.bytes, head.subarray(NONCE_AT))
      decipher.setAAD(Buffer.concat([head, Buffer.from(place)]))
      decipher.setAuthTag(bytes.subarray(-TAG))
      const text = decipher.update(bytes.subarray(TEXT_AT, -TAG))
      return unpad(Buffer.concat([text, decipher.final()]))
    },

    macs: (text) => keys.map(({ mac }) => createHmac('sha256', mac).update(text).digest()),

    keyId: () => keys[0]?.id ?? '',
    keyIds,

    reload(known) {
      const loaded = loadKeys().map(toKey)
      const ids = loaded.map((key) => key.id)
      const isWhole = known.every((id) => ids.includes(id)) && known.includes(ids[0] ?? '')
      if (isWhole) keys = loaded
      return isWhole
    },

    keyOf: (sealed) =>
      sealed[0] === VERSION ? Buffer.from(sealed.subarray(1, NONCE_AT)).toString('hex') : null,
  }
}

/** One key a purpose (RFC 5869), so that what one use reveals helps against no other. */
export function deriveKey(secret: Secret, purpose: string, bytes: number): Buffer {
  const master = Buffer.from(secret.reveal(), 'base64url')
  return Buffer.from(hkdfSync('sha256', master, '', `ellipsis-broker ${purpose}`, bytes))
}

/** The fingerprint by which a key is known. */
export const keyIdOf = (secret: Secret): string => deriveKey(secret, 'key id', 8).toString('hex')

const toKey = (secret: Secret): Key => ({
  id: keyIdOf(secret),
  bytes: deriveKey(secret, 'seal', 32),
  mac: deriveKey(secret, 'mac', 32),
})

/** Length in four bytes, the text, and zeros up to the next size: a newer value overwrites the older. */
function pad(secret: Secret): Buffer {
  const text = Buffer.from(secret.reveal())
  const size = SIZES.find((size) => text.length + 4 <= size)
  if (size === undefined) throw new Error(`a secret of ${text.length} bytes is too long to seal`)
  const padded = Buffer.alloc(size)
  padded.writeUInt32BE(text.length)
  text.copy(padded, 4)
  return padded
}

const unpad = (padded: Buffer): Secret =>
  new Secret(padded.toString('utf8', 4, 4 + padded.readUInt32BE()))
