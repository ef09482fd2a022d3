import type { Store } from '../../db/store.ts'
import type { Config } from '../config/config.ts'
import { changeOwner } from './change-owner.ts'
import type { Owner } from './change-owner.ts'
import type { Clock, Random } from '../runtime.ts'
import { newId } from '../crypto/hash.ts'
import { rejectPendingImport, listIfAllPending, removeRejectedImport } from '../connections/pending-import.ts'
import type { Vault } from '../crypto/vault.ts'
import { formatMessage } from '../operate/messages.ts'
import { StartError } from './start-error.ts'

/** The data directory, for what a change of owner does to it. */
interface Place {
  directory: string
  nativeBinding: string | undefined
  /** @throws StartError while other processes have the store open */
  refuseOthers(): void
}

/** Whether the data is to belong to the configuration's client: if it does already, or `anew`. */
export type Claim = 'same' | 'anew' | undefined

/**
 * Guards data against settings that would kill every connection in it, and remembers to whom it belongs.
 * Answers the public URLs that it was served at before.
 * @throws StartError if the keys, the Ellipsis client or the API are others than those of the data
 */
export async function claimData(
  config: Config,
  store: Store,
  needs: { vault: Vault; random: Random; clock: Clock; claim: Claim; place: Place },
): Promise<string[]> {
  const { vault, random, clock, claim, place } = needs
  const meta = await store.getMeta()
  checkKeys(meta, vault, config)
  const owner = { client_id: config.ellipsis.clientId, api_url: config.ellipsis.apiUrl }
  const isOther = claim !== undefined && isChanged(meta, owner) && !isCutOff(meta)
  const pendingImport = isOther ? await listIfAllPending(store) : null
  if (pendingImport) {
    // Nobody ever connected with the former, which was mistyped, most likely.
    place.refuseOthers()
    for (const id of pendingImport) {
      await rejectPendingImport(store, clock, id, 'clientChanged')
      await removeRejectedImport(store, clock, id)
    }
  } else if (claim === 'same') checkOwner(meta, owner)
  else if (claim === 'anew') {
    if (isChanged(meta, owner)) place.refuseOthers()
    await changeOwner(store, meta, owner, { ...place, clock })
  }
  const urls = JSON.parse(meta.public_urls ?? '[]') as string[]
  const known = [...new Set([config.publicUrl, ...urls])]
  const fingerprints = [...new Set([...fingerprintsOf(meta), vault.keyId()])]
  const entries: Record<string, string> = {
    // By it a backup knows the store that it was made of.
    store_id: meta.store_id ?? newId(random, 'store'),
    secret_fingerprints: fingerprints.join(','),
    ...(claim && { ...owner, owner_change: '', public_urls: JSON.stringify(known) }),
  }
  const changed = Object.entries(entries).some(([key, value]) => meta[key] !== value)
  if (changed) await store.setMeta(entries)
  return urls.filter((url) => url !== config.publicUrl)
}

/** Ids of the keys that anything in the store may be sealed with. */
export const fingerprintsOf = (meta: Record<string, string>): string[] =>
  meta.secret_fingerprints?.split(',') ?? []

/** Every one of them is needed: what is sealed with a key that isn't here would be refused later. */
function checkKeys(meta: Record<string, string>, vault: Vault, { dataDir, secrets }: Config): void {
  const missing = fingerprintsOf(meta).filter((id) => !vault.keyIds().includes(id))
  if (missing.length === 0) return
  const source = secrets ? 'BROKER_SECRETS' : `${dataDir}/secret.key`
  const values = { directory: dataDir, source, fingerprints: missing.join(' and ') }
  throw new StartError(formatMessage('start.key-mismatch', values))
}

const isChanged = (meta: Record<string, string>, owner: Owner): boolean =>
  Object.entries(owner).some(([key, value]) => meta[key] !== undefined && meta[key] !== value)

const isCutOff = (meta: Record<string, string>): boolean => (meta.owner_change ?? '') !== ''

function checkOwner(meta: Record<string, string>, owner: Owner): void {
  if (isCutOff(meta)) throw new StartError(formatMessage('start.client-change-interrupted'))
  const names: Record<string, string> = {
    client_id: 'ELLIPSIS_CLIENT_ID',
    api_url: 'ELLIPSIS_API_URL',
  }
  for (const [key, name] of Object.entries(names)) {
    const [before, now] = [meta[key], owner[key as keyof Owner]]
    if (before === undefined || before === now) continue
    throw new StartError(formatMessage('start.client-changed', { name, before, now }))
  }
}
