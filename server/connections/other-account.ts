import { associatedData } from '../../db/associated-data.ts'
import type { Hash, Millis, Store } from '../../db/store.ts'
import { openText, sealText } from '../crypto/sealed-text.ts'
import type { Vault } from '../crypto/vault.ts'
import type { Account, Tokens } from '../ellipsis/client.ts'
import { Secret } from '../secret.ts'
import { visibleStart } from '../visible-text.ts'
import type { Flow } from './flow.ts'

/** An account that came back from Ellipsis Drive and is not the one that the app asked for. */
export interface OtherAccount {
  /** The name or id of the account that was asked for. Untrusted text, safe to show. */
  expected: string
  /** Ellipsis Drive said whose account it is, and it is another one. `false`: it did not say. */
  isCertain: boolean
}

/** Longest name that the page shows. */
const MAX_NAME_LENGTH_CHARS = 100

/**
 * Compares the account with `login_hint` and with the connection of a reconnect link; `null`: it is the right one,
 * or none was asked for.
 * The name of a connection's account is told only to apps that it was ever connected to: anyone can make a
 * reconnect link. A strict app is told no name, so its answer does not depend on that.
 */
export async function findOtherAccount(
  store: Pick<Store, 'getConnection' | 'listGrants'>,
  { loginHint, reconnect, appId, isStrictAccount }: Flow,
  account: Account,
): Promise<OtherAccount | null> {
  if (loginHint !== null) {
    const isSame = loginHint === account.id || isSameName(loginHint, account.username)
    if (!isSame) return other(loginHint, account.id !== null || account.username !== '')
  }
  if (reconnect === null) return null
  // A strict app accepts no account that cannot be compared.
  const unknown = isStrictAccount ? other('', false) : null
  const connection = await store.getConnection(reconnect)
  if (!connection) return unknown
  const { id, accountId, username } = connection
  const isOfApp = (await store.listGrants(id)).some((grant) => grant.appId === appId)
  if (!isOfApp && !isStrictAccount) return null
  const name = username || (accountId ?? '')
  // Its name was erased, or never known.
  if (name === '') return unknown
  if (accountId !== null && account.id !== null)
    return accountId === account.id ? null : other(name, true)
  if (username === '' || account.username === '') return other(name, false)
  return isSameName(username, account.username) ? null : other(name, true)
}

/** People type names in any case. Two accounts whose names differ only in case count as one here: it is a hint. */
const isSameName = (one: string, another: string): boolean =>
  one.normalize('NFC').toLowerCase() === another.normalize('NFC').toLowerCase()

const other = (expected: string, isCertain: boolean): OtherAccount => ({
  expected: visibleStart(expected, MAX_NAME_LENGTH_CHARS),
  isCertain,
})

/** What waits for the person's decision. */
export interface WaitingTokens {
  account: Account
  tokens: Tokens
}

type Fields = [
  accountId: string | null,
  username: string,
  accessToken: string,
  refreshToken: string | null,
  expiresAt: Millis,
  fetchedAt: Millis,
  scope: string | null,
]

/**
 * Seals the tokens of an account for the page that asks about it, bound to the flow that waits. The broker stores
 * nothing before the person decides. In memory the tokens would be lost to other processes, and a cookie is too
 * small: they may have 16 KiB each. A page that is left gives nothing away, as only the broker has the key.
 */
export function sealWaiting(
  vault: Vault,
  stateHash: Hash,
  { account, tokens }: WaitingTokens,
): Secret {
  const { accessToken, refreshToken, expiresAt, fetchedAt, scope } = tokens
  const fields: Fields = [
    account.id,
    account.username,
    accessToken.reveal(),
    refreshToken?.reveal() ?? null,
    expiresAt,
    fetchedAt,
    scope,
  ]
  return sealText(vault, associatedData.waitingTokens(stateHash), JSON.stringify(fields))
}

/** Opens what `sealWaiting` sealed; `undefined`: it was not sealed here for that flow. */
export function openWaiting(
  vault: Vault,
  stateHash: Hash,
  value: Secret,
): WaitingTokens | undefined {
  const text = openText(vault, associatedData.waitingTokens(stateHash), value)
  if (text === undefined) return undefined
  const fields = JSON.parse(text) as Fields
  const [id, username, accessToken, refreshToken, expiresAt, fetchedAt, scope] = fields
  return {
    account: { id, username },
    tokens: {
      accessToken: new Secret(accessToken),
      refreshToken: refreshToken === null ? null : new Secret(refreshToken),
      expiresAt,
      fetchedAt,
      scope,
    },
  }
}
