import { hasStore, openStore, withLock, withStartLock } from '../../db/data-directory/open.ts'
import { registerProcess, describeProcesses, hasDied, listProcesses } from '../../db/data-directory/presence.ts'
import { readMigrations, sqliteBinding } from '../assets.ts'
import type { Config } from '../config/config.ts'
import { createSigningKeys } from '../crypto/signing-keys.ts'
import { createVault } from '../crypto/vault.ts'
import { claimData } from './data-ownership.ts'
import type { Claim } from './data-ownership.ts'
import { message } from '../operate/messages.ts'
import { loadSecretKeys } from './secret-key.ts'
import type { Runtime } from '../runtime.ts'
import { StartError, explain } from './start-error.ts'

/** What the data directory holds, open: store and keys, and who else has it open. */
export type Data = Awaited<ReturnType<typeof openData>>

/**
 * Opens the data directory. What a first start makes is made under one lock between processes.
 * @param options as for `startServices`
 * @throws StartError with what to do
 */
export async function openData(
  config: Config,
  { clock, random }: Pick<Runtime, 'clock' | 'random'>,
  options: { claim?: Claim; command?: string } = {},
) {
  const { dataDir } = config
  const binding = sqliteBinding(config)

  const refuseOthers = (why: 'start.change-open' | 'start.gone') => {
    const processes = describeProcesses(listProcesses(dataDir, binding))
    if (processes !== '') throw new StartError(message(why, { processes, directory: dataDir }))
  }

  const opened = await withStartLock(dataDir, binding, async () => {
    if (!hasStore(dataDir)) refuseOthers('start.gone')
    const store = await openStore({
      directory: dataDir,
      migrations: readMigrations(),
      nativeBinding: binding,
    })
    try {
      const loadKeys = await loadSecretKeys(config, store, random)
      const vault = createVault(loadKeys, random)
      const formerUrls = await claimData(config, store, {
        vault,
        random,
        clock,
        claim: options.claim,
        place: {
          directory: dataDir,
          nativeBinding: binding,
          refuseOthers: () => refuseOthers('start.change-open'),
        },
      })
      const keys = createSigningKeys({ store, vault, clock, random })
      await keys.ensure()
      const { command = 'serve' } = options
      const told = { pid: process.pid, command, startedAt: clock.now(), keyIds: vault.keyIds() }
      return { store, vault, keys, formerUrls, presence: registerProcess(dataDir, binding, told) }
    } catch (error) {
      await store.close()
      throw error
    }
  }).catch(explain(dataDir))
  const locks = {
    /** While no other process starts. */
    start: <T>(work: () => Promise<T>) => withStartLock(dataDir, binding, work),
    /** While no other holds the lock of that name. @throws SqliteError `SQLITE_BUSY` */
    alone: <T>(name: string, work: () => Promise<T>) => withLock(dataDir, name, binding, 0, work),
  }
  const { id } = opened.presence
  const processes = {
    id,
    /** Those that have the store open too. */
    others: () => listProcesses(dataDir, binding).filter((one) => one.id !== id),
    /** One that is paused has not. */
    hasDied: (other: string) => other !== id && hasDied(dataDir, binding, other),
  }
  return { ...opened, locks, processes }
}
