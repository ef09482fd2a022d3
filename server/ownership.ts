import type { Store } from '../db/store.ts'
import type { Config } from './config.ts'
import type { Vault } from './domain/vault.ts'
import { StartError } from './start-error.ts'

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
  vault: Vault,
  claim: Claim,
): Promise<string[]> {
  const meta = await store.getMeta()
  checkKeys(meta, vault, config)
  const owner = { client_id: config.ellipsis.clientId, api_url: config.ellipsis.apiUrl }
  if (claim === 'same') checkOwner(meta, owner)
  const urls = JSON.parse(meta.public_urls ?? '[]') as string[]
  const known = [...new Set([config.publicUrl, ...urls])]
  const fingerprints = [...new Set([...list(meta.secret_fingerprints), vault.keyId()])]
  const entries: Record<string, string> = {
    secret_fingerprints: fingerprints.join(','),
    ...(claim && { ...owner, public_urls: JSON.stringify(known) }),
  }
  const changed = Object.entries(entries).some(([key, value]) => meta[key] !== value)
  if (changed) await store.setMeta(entries)
  return urls.filter((url) => url !== config.publicUrl)
}

const list = (text: string | undefined): string[] => text?.split(',') ?? []

function checkKeys(meta: Record<string, string>, vault: Vault, { dataDir, secrets }: Config): void {
  const needed = list(meta.secret_fingerprints)
  const have = vault.keyIds()
  if (needed.length === 0 || needed.some((id) => have.includes(id))) return
  const source = secrets ? 'BROKER_SECRETS' : `${dataDir}/secret.key`
  throw new StartError(
    `The data in ${dataDir} was encrypted with another key than ${source} holds.\n` +
      `Put back the key with the fingerprint ${needed.join(' or ')}.`,
  )
}

function checkOwner(meta: Record<string, string>, owner: Record<string, string>): void {
  const names: Record<string, string> = {
    client_id: 'ELLIPSIS_CLIENT_ID',
    api_url: 'ELLIPSIS_API_URL',
  }
  for (const [key, name] of Object.entries(names)) {
    if (meta[key] === undefined || meta[key] === owner[key]) continue
    throw new StartError(
      `The connections in this data directory belong to ${name}=${meta[key]}, and it is now ${owner[key]}.\n` +
        'Their refresh tokens would be refused. Put the setting back, use another BROKER_DATA_DIR, or, ' +
        'if this is meant, start once with --accept-client-change.',
    )
  }
}
