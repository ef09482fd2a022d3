import { exportJWK, exportPKCS8, generateKeyPair, importJWK, importPKCS8 } from 'jose'
import { associatedData } from '../../db/associated-data.ts'
import type { JWK } from 'jose'
import type { Millis, NewEvent, SigningKey, Store } from '../../db/store.ts'
import { BrokerError } from '../errors.ts'
import { Secret } from '../secret.ts'
import type { Clock, Random } from '../runtime.ts'
import { addKey, extendTokensUntil, findKey, removeKey, revokeKey, rotateKeys } from './key-set.ts'
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
      privateKey: vault.seal(associatedData.privateKey(kid), secret),
      status,
      createdAt: now,
      activatedAt: status === 'active' ? now : null,
      endedAt: null,
      erasedAt: null,
      tokensUntil: null,
    }
  }

  const event = (action: string, actor: string, kid: string) => ({
    at: clock.now(),
    actor,
    action,
    details: kid,
  })

  /**
   * Changes the keys as they are by now: changes that others make at the same time stay. Returns the keys
   * before; `undefined`: there is nothing to change.
   */
  const update = async (
    change: (keys: SigningKey[]) => { keys: SigningKey[] | null; events?: NewEvent[] },
  ): Promise<SigningKey[] | undefined> => {
    for (;;) {
      const before = await store.listSigningKeys()
      const { keys, events = [] } = change(before)
      if (!keys) return undefined
      if (await store.replaceSigningKeys(before, keys, events)) return before
    }
  }

  /** The next key, which is made if there is none. */
  const ensureNext = async (actor: string): Promise<SigningKey> => {
    for (;;) {
      const next = findKey(await store.listSigningKeys(), 'next')
      if (next) return next
      const made = await make('next')
      const events = [event('key.created', actor, made.kid)]
      await update((keys) => ({ keys: addKey(keys, made), events }))
    }
  }

  /**
   * Makes the next key the active one, if `isDue` says so of the keys as they are by now. Returns the key that
   * signs now; `undefined`: it isn't due, or there is no next key.
   */
  const rotate = async (
    actor: string,
    isDue: (keys: SigningKey[]) => boolean = () => true,
  ): Promise<SigningKey | undefined> => {
    const following = await make('next')
    const before = await update((keys) => {
      const next = findKey(keys, 'next')
      if (!next || !isDue(keys)) return { keys: null }
      const events = [
        event('key.activated', actor, next.kid),
        event('key.created', actor, following.kid),
      ]
      return { keys: rotateKeys(keys, { following, now: clock.now() }), events }
    })
    return before && findKey(before, 'next')
  }

  const loadPublicKeys = async (): Promise<void> => {
    for (const key of await store.listSigningKeys()) {
      if (key.status === 'revoked') publicKeys.delete(key.kid)
      else if (!publicKeys.has(key.kid)) publicKeys.set(key.kid, await importPublic(key))
    }
  }

  /** A key that signs: if there is none, the one that was published to be next. */
  const ensureActive = async (): Promise<void> => {
    const hasNone = (keys: SigningKey[]) => findKey(keys, 'active') === undefined
    if (!hasNone(await store.listSigningKeys()) || (await rotate('system', hasNone))) return
    const first = await make('active')
    const events = [event('key.created', 'system', first.kid)]
    await update((keys) => ({ keys: hasNone(keys) ? addKey(keys, first) : null, events }))
  }

  const removeEnded = async (now: Millis): Promise<void> => {
    for (const { kid, endedAt, tokensUntil } of await store.listSigningKeys()) {
      const until = tokensUntil ?? (endedAt ?? Infinity) + LONGEST_TOKEN
      if (endedAt === null || until >= now) continue
      const events = [event('key.removed', 'system', kid)]
      if (await update((keys) => ({ keys: removeKey(keys, kid), events }))) publicKeys.delete(kid)
    }
  }

  return {
    async ensure() {
      await ensureActive()
      await ensureNext('system')
    },

    async current() {
      const active = findKey(await store.listSigningKeys(), 'active')
      if (!active) {
        const cause = new Error('no active signing key: run `key rotate`')
        throw new BrokerError('server_error', { cause })
      }
      const { kid } = active
      const known = privateKeys.get(kid)
      if (known) return { kid, key: known }
      const pem = vault.open(associatedData.privateKey(kid), active.privateKey)
      const key = await importPKCS8(pem.reveal(), 'EdDSA')
      privateKeys.set(kid, key)
      return { kid, key }
    },

    async noteToken(kid, expiresAtSeconds) {
      // To the next day, so that a day of signing takes one write.
      const until = Math.ceil((expiresAtSeconds * 1000) / DAY) * DAY
      if ((noted.get(kid) ?? 0) >= until) return
      await update((keys) => ({ keys: extendTokensUntil(keys, kid, until) }))
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
        await ensureNext(actor)
        const rotated = await rotate(actor)
        if (rotated) return { kid: rotated.kid, publishedAt: rotated.createdAt }
      }
    },

    async revoke(kid, actor) {
      const before = await update((keys) => {
        const after = revokeKey(keys, kid, clock.now())
        const wasActive = findKey(keys, 'active')?.kid === kid
        const next = wasActive ? findKey(keys, 'next') : undefined
        const events = [
          event('key.revoked', actor, kid),
          ...(next ? [event('key.activated', actor, next.kid)] : []),
        ]
        return { keys: after, events }
      })
      if (!before) return false
      publicKeys.delete(kid)
      privateKeys.delete(kid)
      await ensureActive()
      await ensureNext(actor)
      return true
    },

    async maintain(until = Infinity) {
      await ensureActive()
      await ensureNext('system')
      const now = Math.min(clock.now(), until)
      const isDue = (keys: SigningKey[]): boolean => {
        const [active, next] = [findKey(keys, 'active'), findKey(keys, 'next')]
        if (!active || !next || now - next.createdAt < PUBLISHED_FOR) return false
        return now - (active.activatedAt ?? active.createdAt) >= SIGNS_FOR
      }
      if (isDue(await store.listSigningKeys())) await rotate('system', isDue)
      await removeEnded(now)
    },
  }
}

async function importPublic(key: SigningKey): Promise<CryptoKey> {
  return (await importJWK(JSON.parse(key.publicJwk) as JWK, 'EdDSA')) as CryptoKey
}
