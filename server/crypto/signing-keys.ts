import { exportJWK, exportPKCS8, generateKeyPair, importJWK, importPKCS8 } from 'jose'
import { associatedData } from '../../db/associated-data.ts'
import type { JWK } from 'jose'
import type { Millis, NewEvent, SigningKey, Store } from '../../db/store.ts'
import { actorFields } from '../admin/actor.ts'
import type { Actor } from '../admin/actor.ts'
import { BrokerError } from '../errors.ts'
import { Secret } from '../secret.ts'
import type { Clock, Random } from '../runtime.ts'
import { addKey, extendTokensUntil, findKey, removeKey, revokeKey, rotateKeys } from './key-set.ts'
import type { Vault } from './vault.ts'

/** The broker's signing keys: the active one, the next one, and retired ones that still verify. */
export interface SigningKeys {
  /** Creates the first keys if there are none. Call it under the start lock. */
  ensure(): Promise<void>
  /** The active key. Read from the store each time, because keys can be revoked and signing is rare. */
  current(): Promise<{ kid: string; key: CryptoKey }>
  /** Records that a key signs a token that expires at that time: the key is kept until then. */
  noteToken(kid: string, expiresAtSeconds: number): Promise<void>
  /** The public key with that id; `undefined`: unknown or revoked. */
  find(kid: string): Promise<CryptoKey | undefined>
  /** The public keys (RFC 7517 5), including the next one. */
  jwks(): Promise<{ keys: JWK[] }>
  list(): Promise<SigningKey[]>
  /** Makes the next key active; the former one still verifies. `publishedAt`: when the key was published. */
  rotate(actor: Actor): Promise<{ kid: string; publishedAt: Millis }>
  /**
   * Revokes a key at once, in every process. If it was active, the next key becomes active.
   * `false`: unknown or revoked already.
   */
  revoke(kid: string, actor: Actor): Promise<boolean>
  /**
   * Rotates a key that was active for 90 days, and removes keys whose tokens have all expired.
   * @param until upper bound of the current time, if the clock may be far ahead; milliseconds
   */
  maintain(until?: Millis): Promise<void>
}

const DAY_MS = 24 * 60 * 60_000
/** How long a key is active before scheduled rotation. */
const ACTIVE_PERIOD_MS = 90 * DAY_MS
/** How long a key is published before scheduled rotation makes it active: longer than anyone caches keys. */
export const PUBLICATION_PERIOD_MS = DAY_MS
/** Longest lifetime of a broker token, for keys with no record of what they signed. */
const MAX_TOKEN_LIFETIME_MS = 400 * DAY_MS

export function createSigningKeys(deps: {
  store: Store
  vault: Vault
  clock: Clock
  random: Random
}): SigningKeys {
  const { store, vault, clock, random } = deps
  const publicKeys = new Map<string, CryptoKey>()
  const privateKeys = new Map<string, CryptoKey>()
  /** By key id: until when the store already keeps the key. */
  const recordedUntil = new Map<string, Millis>()

  const createKey = async (status: 'next' | 'active'): Promise<SigningKey> => {
    const pair = await generateKeyPair('EdDSA', { crv: 'Ed25519', extractable: true })
    // An id that starts with a dash would look like an option of `key revoke`.
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

  const event = (action: string, actor: Actor, kid: string): NewEvent => ({
    at: clock.now(),
    ...actorFields(actor),
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

  /** The next key; creates it if it is missing. */
  const ensureNext = async (actor: Actor): Promise<SigningKey> => {
    for (;;) {
      const next = findKey(await store.listSigningKeys(), 'next')
      if (next) return next
      const made = await createKey('next')
      const events = [event('key.created', actor, made.kid)]
      await update((keys) => ({ keys: addKey(keys, made), events }))
    }
  }

  /**
   * Makes the next key the active one, if `isDue` says so of the keys as they are by now. Returns the key that
   * signs now; `undefined`: it isn't due, or there is no next key.
   */
  const rotate = async (
    actor: Actor,
    isDue: (keys: SigningKey[]) => boolean = () => true,
  ): Promise<SigningKey | undefined> => {
    const following = await createKey('next')
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

  /** Makes sure that there is an active key: without one, the published next key becomes active. */
  const ensureActive = async (): Promise<void> => {
    const hasNone = (keys: SigningKey[]) => findKey(keys, 'active') === undefined
    if (!hasNone(await store.listSigningKeys()) || (await rotate('system', hasNone))) return
    const first = await createKey('active')
    const events = [event('key.created', 'system', first.kid)]
    await update((keys) => ({ keys: hasNone(keys) ? addKey(keys, first) : null, events }))
  }

  const removeEnded = async (now: Millis): Promise<void> => {
    for (const { kid, endedAt, tokensUntil } of await store.listSigningKeys()) {
      const until = tokensUntil ?? (endedAt ?? Infinity) + MAX_TOKEN_LIFETIME_MS
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
      // Rounded up to a full day, so that a day of signing takes one write.
      const until = Math.ceil((expiresAtSeconds * 1000) / DAY_MS) * DAY_MS
      if ((recordedUntil.get(kid) ?? 0) >= until) return
      await update((keys) => ({ keys: extendTokensUntil(keys, kid, until) }))
      recordedUntil.set(kid, until)
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
        if (!active || !next || now - next.createdAt < PUBLICATION_PERIOD_MS) return false
        return now - (active.activatedAt ?? active.createdAt) >= ACTIVE_PERIOD_MS
      }
      if (isDue(await store.listSigningKeys())) await rotate('system', isDue)
      await removeEnded(now)
    },
  }
}

async function importPublic(key: SigningKey): Promise<CryptoKey> {
  return (await importJWK(JSON.parse(key.publicJwk) as JWK, 'EdDSA')) as CryptoKey
}
