import { exportJWK, exportPKCS8, generateKeyPair, importJWK, importPKCS8 } from 'jose'
import type { JWK } from 'jose'
import type { Millis, SigningKey, Store } from '../../db/store.ts'
import { BrokerError } from '../errors.ts'
import { Secret } from '../secret.ts'
import type { Clock, Random } from '../runtime.ts'
import type { Vault } from './vault.ts'

/** The broker's own keys: the one that signs, the one that will, and those that still verify. */
export interface SigningKeys {
  /** Makes the first keys where there are none. Call it under the start lock. */
  ensure(): Promise<void>
  /** The key that signs now. Asked of the store each time: signing is rare, and keys can be revoked. */
  current(): Promise<{ kid: string; key: CryptoKey }>
  /** Says that a key signs a token that lives until then: the key is kept for as long. */
  noteToken(kid: string, expiresAtSeconds: number): Promise<void>
  /** The public key with that id; `undefined`: there is none, or it was revoked. */
  find(kid: string): Promise<CryptoKey | undefined>
  /** What apps and libraries verify with (RFC 7517 5): also the key that will sign next. */
  jwks(): Promise<{ keys: JWK[] }>
  list(): Promise<SigningKey[]>
  /** The next key signs from now on; the one before goes on verifying. `publishedAt`: since when it's known. */
  rotate(actor: string): Promise<{ kid: string; publishedAt: Millis }>
  /** Ends a key at once, in every process; the next one signs if it was the current. `false`: nothing to revoke. */
  revoke(kid: string, actor: string): Promise<boolean>
  /**
   * Rotates a key that has signed for 90 days, and removes those of which no token lives any more.
   * @param until the time to go by, where the clock may be far ahead; milliseconds
   */
  maintain(until?: Millis): Promise<void>
}

const DAY = 24 * 60 * 60_000
/** How long a key signs, milliseconds. */
const SIGNS_FOR = 90 * DAY
/** How long a key is published before it signs by schedule: longer than anyone caches keys. */
export const PUBLISHED_FOR = DAY
/** Longest life of a broker token, for keys of which it isn't known what they signed. */
const LONGEST_TOKEN = 400 * DAY

export function createSigningKeys(needs: {
  store: Store
  vault: Vault
  clock: Clock
  random: Random
}): SigningKeys {
  const { store, vault, clock, random } = needs
  const publicKeys = new Map<string, CryptoKey>()
  const privateKeys = new Map<string, CryptoKey>()
  const noted = new Map<string, Millis>()

  const make = async (status: 'next' | 'active'): Promise<SigningKey> => {
    const pair = await generateKeyPair('EdDSA', { crv: 'Ed25519', extractable: true })
    // An id that begins with a dash would look like an option of `key revoke`.
    const kid = random(12).toString('base64url').replace(/^-/, '_')
    const secret = new Secret(await exportPKCS8(pair.privateKey))
    const jwk = { ...(await exportJWK(pair.publicKey)), kid, alg: 'EdDSA', use: 'sig' }
    const now = clock.now()
    return {
      kid,
      publicJwk: JSON.stringify(jwk),
      privateKey: vault.seal(`signing_keys/${kid}/private_key`, secret),
      status,
      createdAt: now,
      activatedAt: status === 'active' ? now : null,
      endedAt: null,
      tokensUntil: null,
    }
  }

  const event = (action: string, actor: string, kid: string) => ({
    at: clock.now(),
    actor,
    action,
    details: kid,
  })

  const findBy = async (status: SigningKey['status']): Promise<SigningKey | undefined> =>
    (await store.listSigningKeys()).find((key) => key.status === status)

  const ensureNext = async (actor: string): Promise<SigningKey> => {
    for (;;) {
      const next = await findBy('next')
      if (next) return next
      const made = await make('next')
      await store.addSigningKey(made, [event('key.created', actor, made.kid)])
    }
  }

  /** `false`: another process came first. */
  const turn = async (active: SigningKey | undefined, next: SigningKey, actor: string) => {
    const following = await make('next')
    return store.rotateSigningKeys({
      expectedActive: active?.kid ?? null,
      following,
      now: clock.now(),
      events: [event('key.activated', actor, next.kid), event('key.created', actor, following.kid)],
    })
  }

  const loadPublicKeys = async (): Promise<void> => {
    for (const key of await store.listSigningKeys()) {
      if (key.status === 'revoked') publicKeys.delete(key.kid)
      else if (!publicKeys.has(key.kid)) publicKeys.set(key.kid, await importPublic(key))
    }
  }

  /** A key that signs: where there is none, the one that was published to be next. */
  const ensureActive = async (): Promise<void> => {
    if (await findBy('active')) return
    const next = await findBy('next')
    if (next) return void (await turn(undefined, next, 'system'))
    const first = await make('active')
    await store.addSigningKey(first, [event('key.created', 'system', first.kid)])
  }

  const removeEnded = async (now: Millis): Promise<void> => {
    for (const { kid, endedAt, tokensUntil } of await store.listSigningKeys()) {
      const until = tokensUntil ?? (endedAt ?? Infinity) + LONGEST_TOKEN
      if (endedAt === null || until >= now) continue
      if (await store.removeSigningKey({ kid, events: [event('key.removed', 'system', kid)] })) {
        publicKeys.delete(kid)
      }
    }
  }

  return {
    async ensure() {
      await ensureActive()
      await ensureNext('system')
    },

    async current() {
      const active = await findBy('active')
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

    async noteToken(kid, expiresAtSeconds) {
      // To the next day, so that a day of signing takes one write.
      const until = Math.ceil((expiresAtSeconds * 1000) / DAY) * DAY
      if ((noted.get(kid) ?? 0) >= until) return
      await store.noteTokensUntil({ kid, until })
      noted.set(kid, until)
    },

    async find(kid) {
      if (!publicKeys.has(kid)) await loadPublicKeys()
      return publicKeys.get(kid)
    },

    async jwks() {
      const live = (await store.listSigningKeys()).filter((key) => key.status !== 'revoked')
      return { keys: live.map((key) => JSON.parse(key.publicJwk) as JWK) }
    },

    list: () => store.listSigningKeys(),

    async rotate(actor) {
      for (;;) {
        const next = await ensureNext(actor)
        if (await turn(await findBy('active'), next, actor)) {
          return { kid: next.kid, publishedAt: next.createdAt }
        }
      }
    },

    async revoke(kid, actor) {
      const now = clock.now()
      const events = [event('key.revoked', actor, kid)]
      const activated = { at: now, actor, action: 'key.activated' }
      if (!(await store.revokeSigningKey({ kid, now, events, activated }))) return false
      publicKeys.delete(kid)
      privateKeys.delete(kid)
      await ensureActive()
      await ensureNext(actor)
      return true
    },

    async maintain(until = Infinity) {
      await ensureActive()
      const next = await ensureNext('system')
      const active = await findBy('active')
      const now = Math.min(clock.now(), until)
      const due = active && now - (active.activatedAt ?? active.createdAt) >= SIGNS_FOR
      if (due && now - next.createdAt >= PUBLISHED_FOR) await turn(active, next, 'system')
      await removeEnded(now)
    },
  }
}

async function importPublic(key: SigningKey): Promise<CryptoKey> {
  return (await importJWK(JSON.parse(key.publicJwk) as JWK, 'EdDSA')) as CryptoKey
}
