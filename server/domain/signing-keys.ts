import { exportJWK, exportPKCS8, generateKeyPair, importJWK, importPKCS8 } from 'jose'
import type { JWK } from 'jose'
import type { SigningKey, Store } from '../../db/store.ts'
import { BrokerError } from '../errors.ts'
import { Secret } from '../secret.ts'
import type { Clock, Random } from './clock.ts'
import type { Vault } from './vault.ts'

/** The broker's own keys: those that sign broker tokens, and those that still verify. */
export interface SigningKeys {
  /** Makes the first key where there is none. Call it under the start lock. */
  ensure(): Promise<void>
  /** The key that signs now. Asked of the store each time: signing is rare, and keys can be revoked. */
  current(): Promise<{ kid: string; key: CryptoKey }>
  /** The public key with that id; `undefined`: there is none, or it was revoked. */
  find(kid: string): Promise<CryptoKey | undefined>
  /** What apps and libraries verify with (RFC 7517 5). */
  jwks(): Promise<{ keys: JWK[] }>
  list(): Promise<SigningKey[]>
  /** A new key signs from now on; the old one goes on verifying. Answers its id. */
  rotate(actor: string): Promise<string>
  /** Ends a key at once, in every process; a new one signs if it was the current. `false`: nothing to revoke. */
  revoke(kid: string, actor: string): Promise<boolean>
}

export function createSigningKeys(needs: {
  store: Store
  vault: Vault
  clock: Clock
  random: Random
}): SigningKeys {
  const { store, vault, clock, random } = needs
  const publicKeys = new Map<string, CryptoKey>()
  const privateKeys = new Map<string, CryptoKey>()

  const make = async (actor: string): Promise<string> => {
    const pair = await generateKeyPair('EdDSA', { crv: 'Ed25519', extractable: true })
    const kid = random(12).toString('base64url')
    const secret = new Secret(await exportPKCS8(pair.privateKey))
    const jwk = { ...(await exportJWK(pair.publicKey)), kid, alg: 'EdDSA', use: 'sig' }
    const key: SigningKey = {
      kid,
      publicJwk: JSON.stringify(jwk),
      privateKey: vault.seal(`signing_keys/${kid}/private_key`, secret),
      status: 'active',
      createdAt: clock.now(),
      endedAt: null,
    }
    await store.addSigningKey(key, [
      { at: clock.now(), actor, action: 'key.created', details: kid },
    ])
    return kid
  }

  const loadPublicKeys = async (): Promise<void> => {
    for (const key of await store.listSigningKeys()) {
      if (key.status === 'revoked') publicKeys.delete(key.kid)
      else if (!publicKeys.has(key.kid)) publicKeys.set(key.kid, await importPublic(key))
    }
  }

  return {
    async ensure() {
      const keys = await store.listSigningKeys()
      if (!keys.some((key) => key.status === 'active')) await make('system')
    },

    async current() {
      const active = (await store.listSigningKeys()).find((key) => key.status === 'active')
      if (!active) {
        const cause = new Error('no active signing key: run `key rotate`')
        throw new BrokerError('server_error', { cause })
      }
      const { kid } = active
      const known = privateKeys.get(kid)
      if (known) return { kid, key: known }
      const pem = vault.open(`signing_keys/${kid}/private_key`, active.privateKey)
      const key = await importPKCS8(pem.reveal(), 'EdDSA')
      privateKeys.set(kid, key)
      return { kid, key }
    },

    async find(kid) {
      if (!publicKeys.has(kid)) await loadPublicKeys()
      return publicKeys.get(kid)
    },

    async jwks() {
      const keys = await store.listSigningKeys()
      const live = keys.filter((key) => key.status !== 'revoked')
      return { keys: live.map((key) => JSON.parse(key.publicJwk) as JWK) }
    },

    list: () => store.listSigningKeys(),

    rotate: (actor) => make(actor),

    async revoke(kid, actor) {
      const now = clock.now()
      const events = [{ at: now, actor, action: 'key.revoked', details: kid }]
      if (!(await store.revokeSigningKey({ kid, now, events }))) return false
      publicKeys.delete(kid)
      privateKeys.delete(kid)
      const keys = await store.listSigningKeys()
      if (!keys.some((key) => key.status === 'active')) await make(actor)
      return true
    },
  }
}

async function importPublic(key: SigningKey): Promise<CryptoKey> {
  return (await importJWK(JSON.parse(key.publicJwk) as JWK, 'EdDSA')) as CryptoKey
}
