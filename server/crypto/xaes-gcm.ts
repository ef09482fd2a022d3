import { createCipheriv, createDecipheriv } from 'node:crypto'

/**
 * XAES-256-GCM (C2SP, https://c2sp.org/XAES-256-GCM): AES-256-GCM with a key of its own for each value, derived
 * from half of a random nonce of 24 bytes. Random nonces stay safe for 2^80 values under one key; those of
 * AES-GCM alone, 12 bytes, only for 2^32 (NIST SP 800-38D, section 8.3).
 */
export interface XaesGcm {
  /**
   * @param nonce 24 random bytes, new for each value
   * @returns the ciphertext, followed by the tag of 16 bytes
   */
  seal(nonce: Buffer, plaintext: Buffer, associatedData: Buffer): Buffer
  /** @throws Error if key, nonce, ciphertext or associated data differ from those of `seal` */
  open(nonce: Buffer, sealed: Buffer, associatedData: Buffer): Buffer
}

/** Lengths in bytes. */
export const NONCE_LENGTH_BYTES = 24
export const TAG_LENGTH_BYTES = 16
const BLOCK_LENGTH_BYTES = 16
/** Half of the nonce derives the key, the other half is the nonce of AES-GCM. */
const HALF_NONCE_BYTES = 12
/** Where the nonce is in the two messages. */
const NONCE_OFFSETS = [4, 20]

/** @param key 32 bytes, used for nothing else */
export function createXaesGcm(key: Buffer): XaesGcm {
  const start = cmacStart(key)

  /** The CMAC of two messages of one block each (NIST SP 800-108r1, counter mode). */
  const deriveKey = (nonce: Buffer): Buffer => {
    const blocks = Buffer.from(start)
    for (let at = 0; at < HALF_NONCE_BYTES; at++) {
      for (const offset of NONCE_OFFSETS) blocks[offset + at]! ^= nonce[at]!
    }
    return encryptBlocks(key, blocks)
  }

  return {
    seal(nonce, plaintext, associatedData) {
      const gcmNonce = nonce.subarray(HALF_NONCE_BYTES)
      const cipher = createCipheriv('aes-256-gcm', deriveKey(nonce), gcmNonce)
      cipher.setAAD(associatedData)
      return Buffer.concat([cipher.update(plaintext), cipher.final(), cipher.getAuthTag()])
    },

    open(nonce, sealed, associatedData) {
      return openGcm(deriveKey(nonce), nonce.subarray(HALF_NONCE_BYTES), sealed, associatedData)
    },
  }
}

/**
 * Opens a value of plain AES-256-GCM.
 * @param sealed the ciphertext, followed by the tag of 16 bytes
 * @throws Error if key, nonce, ciphertext or associated data are others
 */
export function openGcm(
  key: Buffer,
  nonce: Buffer,
  sealed: Buffer,
  associatedData: Buffer,
): Buffer {
  const options = { authTagLength: TAG_LENGTH_BYTES }
  const decipher = createDecipheriv('aes-256-gcm', key, nonce, options)
  decipher.setAAD(associatedData)
  decipher.setAuthTag(sealed.subarray(-TAG_LENGTH_BYTES))
  const text = decipher.update(sealed.subarray(0, -TAG_LENGTH_BYTES))
  return Buffer.concat([text, decipher.final()])
}

/** The messages without the nonce, xor CMAC's subkey for whole blocks (NIST SP 800-38B, section 6.1). */
function cmacStart(key: Buffer): Buffer {
  const block = encryptBlocks(key, Buffer.alloc(BLOCK_LENGTH_BYTES))
  const subkey = block.map((byte, at) => (byte << 1) | ((block[at + 1] ?? 0) >> 7))
  if (block.readUInt8() >= 0x80) subkey[BLOCK_LENGTH_BYTES - 1]! ^= 0x87
  const messages = [1, 2].map((counter) => Buffer.of(0, counter, 0x58, 0))
  return Buffer.concat(
    messages.map((message) => subkey.map((byte, at) => byte ^ (message[at] ?? 0))),
  )
}

/** AES-256 of whole blocks, each on its own. */
const encryptBlocks = (key: Buffer, blocks: Buffer): Buffer =>
  createCipheriv('aes-256-ecb', key, null).setAutoPadding(false).update(blocks)
