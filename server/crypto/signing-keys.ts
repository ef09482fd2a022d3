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

/** `EdDSA` signs broker tokens; `RS256` signs ID tokens, because every OpenID Connect library verifies it. */
export type SigningAlgorithm = SigningKey['alg']

/**
 * The broker's signing keys. Each algorithm has an active one, a next one, and retired ones that still verify.
 * The keys of `RS256` are created when the first app needs them.
 */
export interface SigningKeys {
  /** Creates the first keys of an algorithm if there are none. Call it for `EdDSA` under the start lock. */
  ensure(alg: SigningAlgorithm): Promise<void>
  /** The active key. Read from the store each time, because keys can be revoked and signing is rare. */
  current(alg: SigningAlgorithm): Promise<{ kid: string; key: CryptoKey }>
  /** Records that a key signs a token that expires at that time: the key is kept until then. */
  noteToken(kid: string, expiresAtSeconds: number): Promise<void>
  /** The public key with that id; `undefined`: unknown or revoked. */
  find(kid: string): Promise<CryptoKey | undefined>
  /** The public keys (RFC 7517 5), including the next ones. Creates those of `RS256` if there are none. */
  jwks(): Promise<{ keys: JWK[] }>
  list(): Promise<SigningKey[]>
  /**
   * Makes the next key of each algorithm active; the former ones still verify. Returns the keys that sign now;
   * `createdAt`: when the key was published.
   */
  rotate(actor: Actor): Promise<SigningKey[]>
  /**
   * Revokes a key at once, in every process. If it was active, the next key becomes active.
   * `false`: unknown or revoked already.
   */
  revoke(kid: string, actor: Actor): Promise<boolean>
  /**
   * Rotates the keys that were active for 90 days, and removes keys whose tokens have all expired.
   * @param until upper bound of the current time, if the clock may be far ahead; milliseconds
   */
  maintain(until?: Millis): Promise<void>
}

/** At least 128 bits of security each (NIST SP 800-57 Part 1, 5.6.1). */
const KEY_PARAMETERS = { EdDSA: { crv: 'Ed25519' }, RS256: { modulusLength: 3072 } }

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

  const createKey = async (
    alg: SigningAlgorithm,
    status: 'next' | 'active',
  ): Promise<SigningKey> => {
    const pair = await generateKeyPair(alg, { ...KEY_PARAMETERS[alg], extractable: true })
    // An id that starts with a dash would look like an option of `key revoke`.
    const kid = random(12).toString('base64url').replace(/^-/, '_')
    const secret = new Secret(await exportPKCS8(pair.privateKey))
    const jwk = { ...(await exportJWK(pair.publicKey)), kid, alg, use: 'sig' }
    const now = clock.now()
    return {
      kid,
      alg,
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

  const listOf = async (alg: SigningAlgorithm): Promise<SigningKey[]> =>
    (await store.listSigningKeys()).filter((key) => key.alg === alg)

  /**
   * Changes the keys of an algorithm as they are by now: changes that others make at the same time stay.
   * Returns the keys before; `undefined`: there is nothing to change.
   */
  const update = async (
    alg: SigningAlgorithm,
    change: (keys: SigningKey[]) => { keys: SigningKey[] | null; events?: NewEvent[] },
  ): Promise<SigningKey[] | undefined> => {
    for (;;) {
      const all = await store.listSigningKeys()
      const before = all.filter((key) => key.alg === alg)
      const { keys, events = [] } = change(before)
      if (!keys) return undefined
      const others = all.filter((key) => key.alg !== alg)
      if (await store.replaceSigningKeys(all, [...others, ...keys], events)) return before
    }
  }

  /** The next key; creates it if it is missing. */
  const ensureNext = async (alg: SigningAlgorithm, actor: Actor): Promise<SigningKey> => {
    for (;;) {
      const next = findKey(await listOf(alg), 'next')
      if (next) return next
      const made = await createKey(alg, 'next')
      const events = [event('key.created', actor, made.kid)]
      await update(alg, (keys) => ({ keys: addKey(keys, made), events }))
    }
  }

  /**
   * Makes the next key the active one, if `isDue` says so of the keys as they are by now. Returns the key that
   * signs now; `undefined`: it isn't due, or there is no next key.
   */
  const rotate = async (
    alg: SigningAlgorithm,
    actor: Actor,
    isDue: (keys: SigningKey[]) => boolean = () => true,
  ): Promise<SigningKey | undefined> => {
    const following = await createKey(alg, 'next')
    const before = await update(alg, (keys) => {
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
  const ensureActive = async (alg: SigningAlgorithm): Promise<void> => {
    const hasNone = (keys: SigningKey[]) => findKey(keys, 'active') === undefined
    if (!hasNone(await listOf(alg)) || (await rotate(alg, 'system', hasNone))) return
    const first = await createKey(alg, 'active')
    const events = [event('key.created', 'system', first.kid)]
    await update(alg, (keys) => ({ keys: hasNone(keys) ? addKey(keys, first) : null, events }))
  }

  const removeEnded = async (now: Millis): Promise<void> => {
    for (const { kid, alg, endedAt, tokensUntil } of await store.listSigningKeys()) {
      const until = tokensUntil ?? (endedAt ?? Infinity) + MAX_TOKEN_LIFETIME_MS
      if (endedAt === null || until >= now) continue
      const events = [event('key.removed', 'system', kid)]
      if (await update(alg, (keys) => ({ keys: removeKey(keys, kid), events })))
        publicKeys.delete(kid)
    }
  }

  const ensure = async (alg: SigningAlgorithm): Promise<void> => {
    await ensureActive(alg)
    await ensureNext(alg, 'system')
  }

  /** The algorithms that have keys. */
  const algorithmsInUse = async (): Promise<SigningAlgorithm[]> => [
    ...new Set(['EdDSA', ...(await store.listSigningKeys()).map(({ alg }) => alg)] as const),
  ]

  const rotateNow = async (alg: SigningAlgorithm, actor: Actor): Promise<SigningKey> => {
    for (;;) {
      await ensureNext(alg, actor)
      const rotated = await rotate(alg, actor)
      if (rotated) return rotated
    }
  }

  const rotateIfDue = async (alg: SigningAlgorithm, now: Millis): Promise<void> => {
    const isDue = (keys: SigningKey[]): boolean => {
      const [active, next] = [findKey(keys, 'active'), findKey(keys, 'next')]
      if (!active || !next || now - next.createdAt < PUBLICATION_PERIOD_MS) return false
      return now - (active.activatedAt ?? active.createdAt) >= ACTIVE_PERIOD_MS
    }
    if (isDue(await listOf(alg))) await rotate(alg, 'system', isDue)
  }

  return {
    ensure,

    async current(alg) {
      const active = findKey(await listOf(alg), 'active')
      if (!active) {
        const cause = new Error('no active signing key: run `key rotate`')
        throw new BrokerError('server_error', { cause })
      }
      const { kid } = active
      const known = privateKeys.get(kid)
      if (known) return { kid, key: known }
      const pem = vault.open(associatedData.privateKey(kid), active.privateKey)
      const key = await importPKCS8(pem.reveal(), alg)
      privateKeys.set(kid, key)
      return { kid, key }
    },

    async noteToken(kid, expiresAtSeconds) {
      // Rounded up to a full day, so that a day of signing takes one write.
      const until = Math.ceil((expiresAtSeconds * 1000) / DAY_MS) * DAY_MS
      if ((recordedUntil.get(kid) ?? 0) >= until) return
      const known = (await store.listSigningKeys()).find((key) => key.kid === kid)
      if (known) await update(known.alg, (keys) => ({ keys: extendTokensUntil(keys, kid, until) }))
      recordedUntil.set(kid, until)
    },

    async find(kid) {
      if (!publicKeys.has(kid)) await loadPublicKeys()
      return publicKeys.get(kid)
    },

    async jwks() {
      // While the store cannot be written to, the keys that exist are published.
      await ensure('RS256').catch(() => undefined)
      const live = (await store.listSigningKeys()).filter((key) => key.status !== 'revoked')
      return { keys: live.map((key) => JSON.parse(key.publicJwk) as JWK) }
    },

    list: () => store.listSigningKeys(),

    async rotate(actor) {
      const algorithms = await algorithmsInUse()
      return Promise.all(algorithms.map((alg) => rotateNow(alg, actor)))
    },

    async revoke(kid, actor) {
      const key = (await store.listSigningKeys()).find((key) => key.kid === kid)
      if (!key) return false
      const before = await update(key.alg, (keys) => {
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
      await ensureActive(key.alg)
      await ensureNext(key.alg, actor)
      return true
    },

    async maintain(until = Infinity) {
      const now = Math.min(clock.now(), until)
      for (const alg of await algorithmsInUse()) {
        await ensure(alg)
        await rotateIfDue(alg, now)
      }
      await removeEnded(now)
    },
  }
}

async function importPublic(key: SigningKey): Promise<CryptoKey> {
  return (await importJWK(JSON.parse(key.publicJwk) as JWK, key.alg)) as CryptoKey
}
