import type { Store } from '../../db/store.ts'
import type { Config } from '../config/config.ts'
import { changeOwner } from './change-owner.ts'
import type { Owner } from './change-owner.ts'
import type { Clock, Random } from '../runtime.ts'
import { newId } from '../crypto/hash.ts'
import {
  rejectPendingImport,
  listIfAllPending,
  removeRejectedImport,
} from '../connections/pending-import.ts'
import type { Vault } from '../crypto/vault.ts'
import { startError } from './start-error.ts'

/** Where the data is, for a change of owner. */
interface Place {
  /** For messages. */
  name: string
  /** Keeps a copy of the store as it is. */
  keepCopy(): Promise<void>
  /** @throws StartError while other processes have the store open */
  refuseOthers(): Promise<void>
}

/** Must the data already belong to the configured client (`same`), or does it from now on (`anew`)? */
export type Claim = 'same' | 'anew' | undefined

/**
 * Protects the data from settings that would make every connection useless, and records its owner.
 * @returns the former public URLs
 * @throws StartError if the keys, the Ellipsis client or the API differ from those of the data
 */
export async function claimData(
  config: Config,
  store: Store,
  dependencies: {
    vault: Vault
    random: Random
    clock: Clock
    claim: Claim
    place: Place
  },
): Promise<string[]> {
  const { vault, random, clock, claim, place } = dependencies
  const meta = await store.getMeta()
  checkKeys(meta, vault, config)
  const owner = { client_id: config.ellipsis.clientId, api_url: config.ellipsis.apiUrl }
  const isOther = claim !== undefined && isChanged(meta, owner) && !isInterrupted(meta)
  const pendingIds = isOther ? await listIfAllPending(store) : null
  if (pendingIds) {
    // No user has connected with the former client: it was probably mistyped.
    await place.refuseOthers()
    for (const id of pendingIds) {
      await rejectPendingImport(store, clock, id, 'clientChanged')
      await removeRejectedImport(store, clock, id)
    }
  } else if (claim === 'same') checkOwner(meta, owner)
  else if (claim === 'anew') {
    if (isChanged(meta, owner)) await place.refuseOthers()
    await changeOwner(store, meta, owner, { ...place, clock })
  }
  const urls = JSON.parse(meta.public_urls ?? '[]') as string[]
  const known = [...new Set([config.publicUrl, ...urls])]
  const fingerprints = [...new Set([...fingerprintsOf(meta), vault.keyId()])]
  const entries: Record<string, string> = {
    // A backup has the id of its store.
    store_id: meta.store_id ?? newId(random, 'store'),
    secret_fingerprints: fingerprints.join(','),
    ...(claim && { ...owner, owner_change: '', public_urls: JSON.stringify(known) }),
  }
  const changed = Object.entries(entries).some(([key, value]) => meta[key] !== value)
  if (changed) await store.setMeta(entries)
  return urls.filter((url) => url !== config.publicUrl)
}

/** Ids of the keys that values in the store may be sealed with. */
export const fingerprintsOf = (meta: Record<string, string>): string[] =>
  meta.secret_fingerprints?.split(',') ?? []

/** All of them are required: a value that is sealed with a missing key would fail later. */
function checkKeys(meta: Record<string, string>, vault: Vault, config: Config): void {
  const { dataDir, secrets, database } = config
  const missing = fingerprintsOf(meta).filter((id) => !vault.keyIds().includes(id))
  if (missing.length === 0) return
  const source = secrets ? 'BROKER_SECRETS' : `${dataDir}/secret.key`
  const values = {
    directory: database?.address ?? dataDir,
    source,
    fingerprints: missing.join(' and '),
  }
  throw startError('start.key-mismatch', values)
}

const isChanged = (meta: Record<string, string>, owner: Owner): boolean =>
  Object.entries(owner).some(([key, value]) => meta[key] !== undefined && meta[key] !== value)

const isInterrupted = (meta: Record<string, string>): boolean => (meta.owner_change ?? '') !== ''

function checkOwner(meta: Record<string, string>, owner: Owner): void {
  if (isInterrupted(meta)) throw startError('start.client-change-interrupted')
  const names: Record<string, string> = {
    client_id: 'ELLIPSIS_CLIENT_ID',
    api_url: 'ELLIPSIS_API_URL',
  }
  for (const [key, name] of Object.entries(names)) {
    const [before, now] = [meta[key], owner[key as keyof Owner]]
    if (before === undefined || before === now) continue
    throw startError('start.client-changed', { name, before, now })
  }
}
