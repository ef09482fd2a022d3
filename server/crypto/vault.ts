import { createCipheriv, createDecipheriv, createHmac, hkdfSync } from 'node:crypto'
import type { AssociatedData, Sealed } from '../../db/store.ts'
import { BrokerError } from '../errors.ts'
import { Secret } from '../secret.ts'
import type { Random } from '../runtime.ts'

/** Seals (encrypts) secrets for storage, and opens (decrypts) them, each bound to its place in the store. */
export interface Vault {
  /**
   * Encrypts. The length of the result shows only which of four sizes the secret fits.
   * @param options.padded `false`: for a value that is not stored; the result is as short as possible
   */
  seal(associatedData: AssociatedData, secret: Secret, options?: { padded: boolean }): Sealed
  /**
   * Decrypts. If the key is unknown, loads the keys again, once.
   * @throws BrokerError `temporarily_unavailable` if the key is still unknown: this process has outdated keys,
   *   which says nothing about the connection
   * @throws Error if the value was changed, or copied from another place
   */
  open(associatedData: AssociatedData, sealed: Sealed): Secret
  /** HMAC-SHA-256 of `text` under each key; the key that seals comes first. */
  macs(text: string): Buffer[]
  /** Id of the key that seals. */
  keyId(): string
  /** Ids of all keys; the key that seals comes first. */
  keyIds(): string[]
  /**
   * Loads the keys again, and returns `true`. Does nothing and returns `false` if one of the ids in `known`
   * (keys that values may be sealed with) is missing, or if a key that is not among them would seal: other
   * processes could not open its values.
   */
  reload(known: string[]): boolean
  /** Has `loadKeys` other keys than those in use? Cheap: only changed keys are derived again. */
  hasNewKeys(): boolean
  /** Id of the key that a value was sealed with; `null`: the value was overwritten. */
  keyOf(sealed: Sealed): string | null
}

// Layout: version (1) | key id (8) | nonce (12) | ciphertext | tag (16).
const VERSION = 1
const NONCE_OFFSET_BYTES = 9
const CIPHERTEXT_OFFSET_BYTES = 21
const NONCE_LENGTH_BYTES = 12
const TAG_LENGTH_BYTES = 16

/** A plaintext with its length in front is padded to one of these. Access tokens may have 16 KiB. */
const PADDED_SIZES_BYTES = [320, 1_152, 4_352, 17_408]

interface Key {
  id: string
  bytes: Buffer
  mac: Buffer
}

/**
 * AES-256-GCM with a fresh nonce for each value, and one derived key for each purpose (RFC 5869).
 * @param loadKeys returns 32-byte keys in base64url; the first one seals
 */
export function createVault(loadKeys: () => Secret[], random: Random): Vault {
  let derived: { secrets: string; keys: Key[] } = { secrets: '', keys: [] }
  /** The keys as they are now; the same array as long as they are the same. */
  const load = (): Key[] => {
    const loaded = loadKeys()
    const secrets = loaded.map((secret) => secret.reveal()).join()
    if (secrets !== derived.secrets) derived = { secrets, keys: loaded.map(toKey) }
    return derived.keys
  }
  let keys = load()
  const keyIds = () => keys.map((key) => key.id)

  const findKey = (id: string): Key => {
    const known = keys.find((key) => key.id === id)
    if (known) return known
    const loaded = load().find((key) => key.id === id)
    if (loaded) {
      keys = [...keys, loaded]
      return loaded
    }
    const cause = new Error(`sealed with key ${id}, which this process does not have`)
    throw new BrokerError('temporarily_unavailable', { cause, retryAfter: 10 })
  }

  return {
    seal(associatedData, secret, { padded } = { padded: true }) {
      const key = keys[0]
      if (!key) throw new Error('there is no encryption key')
      const nonce = random(NONCE_LENGTH_BYTES)
      const head = Buffer.concat([Buffer.of(VERSION), Buffer.from(key.id, 'hex'), nonce])
      const cipher = createCipheriv('aes-256-gcm', key.bytes, nonce)
      cipher.setAAD(Buffer.concat([head, Buffer.from(associatedData)]))
      const text = Buffer.concat([
        cipher.update(padded ? pad(secret) : withLength(secret)),
        cipher.final(),
      ])
      return Buffer.concat([head, text, cipher.getAuthTag()])
    },

    open(associatedData, sealed) {
      const bytes = Buffer.from(sealed.buffer, sealed.byteOffset, sealed.byteLength)
      if (bytes[0] !== VERSION || bytes.length < CIPHERTEXT_OFFSET_BYTES + TAG_LENGTH_BYTES) {
        throw new Error(`no sealed value at ${associatedData}`)
      }
      const head = bytes.subarray(0, CIPHERTEXT_OFFSET_BYTES)
      const key = findKey(head.toString('hex', 1, NONCE_OFFSET_BYTES))
      const decipher = createDecipheriv('aes-256-gcm', key.bytes, head.subarray(NONCE_OFFSET_BYTES))
      decipher.setAAD(Buffer.concat([head, Buffer.from(associatedData)]))
      decipher.setAuthTag(bytes.subarray(-TAG_LENGTH_BYTES))
      const text = decipher.update(bytes.subarray(CIPHERTEXT_OFFSET_BYTES, -TAG_LENGTH_BYTES))
      return unpad(Buffer.concat([text, decipher.final()]))
    },

    macs: (text) => keys.map(({ mac }) => createHmac('sha256', mac).update(text).digest()),

    keyId: () => keys[0]?.id ?? '',
    keyIds,

    reload(known) {
      const loaded = load()
      const ids = loaded.map((key) => key.id)
      const isComplete = known.every((id) => ids.includes(id)) && known.includes(ids[0] ?? '')
      if (isComplete) keys = loaded
      return isComplete
    },

    hasNewKeys: () => load() !== keys,

    keyOf: (sealed) =>
      sealed[0] === VERSION
        ? Buffer.from(sealed.subarray(1, NONCE_OFFSET_BYTES)).toString('hex')
        : null,
  }
}

/** Derives a key for one purpose (RFC 5869), so that a leak in one use does not affect the others. */
function deriveKey(secret: Secret, purpose: string, bytes: number): Buffer {
  const master = Buffer.from(secret.reveal(), 'base64url')
  return Buffer.from(hkdfSync('sha256', master, '', `ellipsis-broker ${purpose}`, bytes))
}

/** The fingerprint that identifies a key. */
export const keyIdOf = (secret: Secret): string => deriveKey(secret, 'key id', 8).toString('hex')

const toKey = (secret: Secret): Key => ({
  id: keyIdOf(secret),
  bytes: deriveKey(secret, 'seal', 32),
  mac: deriveKey(secret, 'mac', 32),
})

/** Length in four bytes, and text. */
function withLength(secret: Secret): Buffer {
  const text = Buffer.from(secret.reveal())
  const length = Buffer.alloc(4)
  length.writeUInt32BE(text.length)
  return Buffer.concat([length, text])
}

/** The same, and zeros up to the next size. With equal sizes a new value overwrites the old one in place. */
function pad(secret: Secret): Buffer {
  const text = withLength(secret)
  const size = PADDED_SIZES_BYTES.find((size) => text.length <= size)
  if (size === undefined)
    throw new Error(`a secret of ${text.length - 4} bytes is too long to seal`)
  return Buffer.concat([text, Buffer.alloc(size - text.length)])
}

const unpad = (padded: Buffer): Secret =>
  new Secret(padded.toString('utf8', 4, 4 + padded.readUInt32BE()))
