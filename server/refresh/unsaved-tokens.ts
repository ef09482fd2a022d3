import { associatedData } from '../../db/associated-data.ts'
import type { Connection, Failure, Store } from '../../db/store.ts'
import type { Vault } from '../crypto/vault.ts'
import type { Tokens } from '../ellipsis/client.ts'
import type { Clock } from '../runtime.ts'
import { Secret } from '../secret.ts'

/** What a refresh brought. */
export interface RefreshedTokens extends Pick<Tokens, 'accessToken' | 'expiresAt' | 'fetchedAt'> {
  /** The refresh token that was sent. */
  usedToken: Secret
  /** The one to use from now on; the same if upstream did not rotate it. */
  refreshToken: Secret
}

/** Files that only the broker's user can read, by name. */
export interface UnsavedFiles {
  /** Survives a loss of power. @throws if it can't be written */
  write(name: string, content: Uint8Array): void
  /** `null`: there is no such file. */
  read(name: string): Uint8Array | null
  remove(name: string): void
  list(): string[]
}

type Row = Pick<Connection, 'id' | 'generation' | 'status'>

/**
 * New tokens that the database could not take yet, sealed, in files of this host: a process that is killed meanwhile
 * does not lose them.
 */
export interface UnsavedTokens {
  /** @throws if the data directory can't be written to */
  keep(connection: Row, tokens: RefreshedTokens): void
  drop(connection: Row): void
  /**
   * Stores what a process of this host kept for that connection, unless the connection has got other tokens since.
   * @returns was something stored?
   */
  restore(connection: Row): Promise<boolean>
  /** The same for all connections, at a start. Returns their ids; `unreadable`: sealed with a key that is missing. */
  restoreAll(): Promise<{ restored: string[]; unreadable: string[] }>
}

export function createUnsavedTokens(deps: {
  files: UnsavedFiles
  store: Pick<Store, 'getConnection' | 'saveTokens'>
  vault: Pick<Vault, 'seal' | 'open'>
  clock: Clock
}): UnsavedTokens {
  const { files, store, vault, clock } = deps

  /** `null`: the file can't be opened, and stays. It holds up no refresh. */
  const restoreFile = async (name: string): Promise<boolean | null> => {
    const [id = '', generation] = name.split('.')
    let tokens: RefreshedTokens
    try {
      const sealed = files.read(name)
      if (!sealed) return false
      tokens = openTokens(vault, id, sealed)
    } catch {
      return null
    }
    const connection = await store.getConnection(id)
    const isNext = connection && String(connection.generation) === generation
    // A failover may have lost commits: then a generation with that number has other tokens.
    const isStored =
      isNext === true &&
      holds(vault, connection, tokens.usedToken) &&
      (await store.saveTokens(sealRefreshed(vault, connection, tokens, clock.now())))
    files.remove(name)
    return isStored
  }

  return {
    keep: (connection, tokens) =>
      files.write(fileName(connection), sealTokens(vault, connection.id, tokens)),
    drop: (connection) => files.remove(fileName(connection)),
    restore: async (connection) => (await restoreFile(fileName(connection))) === true,

    async restoreAll() {
      const restored: string[] = []
      const unreadable: string[] = []
      for (const name of files.list()) {
        const [id = ''] = name.split('.')
        const isRestored = await restoreFile(name)
        if (isRestored === null) unreadable.push(id)
        else if (isRestored) restored.push(id)
      }
      return { restored, unreadable }
    },
  }
}

/** What the store's `saveTokens` takes. A connection that needed a new sign-in has recovered. */
export function sealRefreshed(
  vault: Pick<Vault, 'seal'>,
  { id, generation, status }: Row,
  { usedToken, refreshToken, accessToken, expiresAt, fetchedAt }: RefreshedTokens,
  now: number,
  failure: Failure | null = null,
): Parameters<Store['saveTokens']>[0] {
  const isRotated = refreshToken.reveal() !== usedToken.reveal()
  const event = { at: now, actor: 'system', action: 'connection.recovered', connectionId: id }
  return {
    id,
    expectedGeneration: generation,
    tokens: {
      refreshToken: vault.seal(associatedData.refreshToken(id), refreshToken),
      accessToken: vault.seal(associatedData.accessToken(id), accessToken),
      accessTokenExpiresAt: expiresAt,
      accessTokenFetchedAt: fetchedAt,
    },
    previousRefreshToken: isRotated
      ? vault.seal(associatedData.previousRefreshToken(id), usedToken)
      : null,
    failure,
    now,
    events: status === 'needs_reconnect' ? [event] : [],
  }
}

const fileName = ({ id, generation }: Row): string => `${id}.${generation}`

/** Is that the connection's refresh token, or its previous one, with which a refresh is tried last? */
function holds(vault: Pick<Vault, 'open'>, connection: Connection, token: Secret): boolean {
  const { id, refreshToken, previousRefreshToken } = connection
  const held = [
    refreshToken && vault.open(associatedData.refreshToken(id), refreshToken),
    previousRefreshToken &&
      vault.open(associatedData.previousRefreshToken(id), previousRefreshToken),
  ]
  return held.some((one) => one?.reveal() === token.reveal())
}

function sealTokens(vault: Pick<Vault, 'seal'>, id: string, tokens: RefreshedTokens): Uint8Array {
  const { usedToken, refreshToken, accessToken, expiresAt, fetchedAt } = tokens
  const revealed = [usedToken, refreshToken, accessToken].map((token) => token.reveal())
  const text = new Secret(JSON.stringify([...revealed, expiresAt, fetchedAt]))
  return vault.seal(associatedData.unsavedTokens(id), text, { padded: false })
}

function openTokens(vault: Pick<Vault, 'open'>, id: string, sealed: Uint8Array): RefreshedTokens {
  const text = vault.open(associatedData.unsavedTokens(id), sealed).reveal()
  const [used, refresh, access, expiresAt, fetchedAt] = JSON.parse(text) as [
    ...[string, string, string],
    ...[number, number],
  ]
  return {
    usedToken: new Secret(used),
    refreshToken: new Secret(refresh),
    accessToken: new Secret(access),
    ...{ expiresAt, fetchedAt },
  }
}
