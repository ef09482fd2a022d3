import { createHmac } from 'node:crypto'
import type { Connection, Store } from '../../db/store.ts'
import type { Random } from '../runtime.ts'

/** The parts of a connection that say whose it is. */
type Owner = Pick<Connection, 'id' | 'accountId'>

/**
 * The `sub` of an account: the same at this broker for as long as the broker's key is kept, also after the
 * account was revoked, erased and connected again (OpenID Connect Core 2, 8). If Ellipsis Drive does not tell
 * the account's id, it is that of the connection.
 */
export type SubjectOf = (owner: Owner) => string

/** Its name in the store's facts; empty: a new one is due. */
export const SUBJECT_KEY = 'subject_key'
/** 128 bits of the HMAC: no two accounts share a subject. */
const SUBJECT_LENGTH_CHARS = 22

/**
 * Loads the key that subjects are derived with, or creates it. Call it under the start lock. It is not sealed:
 * it protects account ids from apps, not from readers of the store, which has the ids themselves.
 */
export async function loadSubjects(
  store: Pick<Store, 'getMeta' | 'setMeta'>,
  random: Random,
): Promise<SubjectOf> {
  const { [SUBJECT_KEY]: stored = '' } = await store.getMeta()
  const encoded = stored === '' ? random(32).toString('base64url') : stored
  if (stored === '') await store.setMeta({ [SUBJECT_KEY]: encoded })
  const key = Buffer.from(encoded, 'base64url')
  return ({ id, accountId }) => {
    const name = accountId === null ? `connection ${id}` : `account ${accountId}`
    const hmac = createHmac('sha256', key).update(name).digest('base64url')
    return `acc_${hmac.slice(0, SUBJECT_LENGTH_CHARS)}`
  }
}
