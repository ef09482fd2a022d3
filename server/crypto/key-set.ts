import type { Millis, SigningKey } from '../../db/store.ts'

/**
 * The set of signing keys, and what becomes of it: at most one key is `active`, at most one is `next`. The
 * functions are pure; the store replaces the set if nobody has changed it since it was read.
 */

export const findKey = (keys: SigningKey[], status: SigningKey['status']): SigningKey | undefined =>
  keys.find((key) => key.status === status)

/** With a new key: if it is `active`, the active one retires. `null`: it is `next`, and there is one. */
export function addKey(keys: SigningKey[], key: SigningKey): SigningKey[] | null {
  if (key.status === 'next' && findKey(keys, 'next')) return null
  return [...(key.status === 'active' ? retireActive(keys, key.createdAt) : keys), key]
}

/** The next key signs from `now` on, the active one retires, and `following` is next. `null`: no next key. */
export function rotateKeys(
  keys: SigningKey[],
  { following, now }: { following: SigningKey; now: Millis },
): SigningKey[] | null {
  if (!findKey(keys, 'next')) return null
  return [...activateNext(retireActive(keys, now), now), following]
}

/** Revokes a key; if it was active, the next one signs. `null`: the key is unknown or was already revoked. */
export function revokeKey(keys: SigningKey[], kid: string, now: Millis): SigningKey[] | null {
  const key = keys.find((key) => key.kid === kid)
  if (!key || key.status === 'revoked') return null
  const revoked: SigningKey = { ...key, status: 'revoked', endedAt: key.endedAt ?? now }
  const others = key.status === 'active' ? activateNext(keys, now) : keys
  return others.map((other) => (other.kid === kid ? revoked : other))
}

/** Without a key that is retired, or revoked and erased. `null`: it is neither. */
export function removeKey(keys: SigningKey[], kid: string): SigningKey[] | null {
  const key = keys.find((key) => key.kid === kid)
  const isErased = key?.status === 'revoked' && key.erasedAt !== null
  if (key?.status !== 'retired' && !isErased) return null
  return keys.filter((key) => key.kid !== kid)
}

/** Notes that a key has signed a token that lives until then. `null`: one that lives longer is known. */
export function extendTokensUntil(
  keys: SigningKey[],
  kid: string,
  until: Millis,
): SigningKey[] | null {
  const key = keys.find((key) => key.kid === kid)
  if (!key || (key.tokensUntil ?? 0) >= until) return null
  return keys.map((key) => (key.kid === kid ? { ...key, tokensUntil: until } : key))
}

const retireActive = (keys: SigningKey[], now: Millis): SigningKey[] =>
  keys.map((key) => (key.status === 'active' ? { ...key, status: 'retired', endedAt: now } : key))

const activateNext = (keys: SigningKey[], now: Millis): SigningKey[] =>
  keys.map((key) => (key.status === 'next' ? { ...key, status: 'active', activatedAt: now } : key))
