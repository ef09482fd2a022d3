import { describeProcesses } from '../../db/coordination.ts'
import type { Upgrade } from '../../db/upgrade.ts'
import { createUnsavedFiles } from '../../db/data-directory/unsaved.ts'
import type { Store } from '../../db/store.ts'
import type { Config } from '../config/config.ts'
import { createSigningKeys } from '../crypto/signing-keys.ts'
import { loadSubjects } from '../oauth/account-subject.ts'
import { createVault } from '../crypto/vault.ts'
import { claimData } from './data-ownership.ts'
import type { Claim } from './data-ownership.ts'
import { CommandError } from '../operate/messages.ts'
import { openEngine } from './engine.ts'
import { refuseCopied } from './moved-store.ts'
import { loadSecretKeys } from './secret-key.ts'
import type { Runtime } from '../runtime.ts'
import { createUnsavedTokens } from '../refresh/unsaved-tokens.ts'
import { startError } from './start-error.ts'

/** The open data directory: store, keys, locks, and the other processes that use it. */
export type Data = Awaited<ReturnType<typeof openData>>

/** For monitoring: a process that crashes and is restarted leaves nothing else that lasts. */
async function countStart(store: Pick<Store, 'getMeta' | 'setMeta'>): Promise<void> {
  const { starts = '0' } = await store.getMeta()
  await store.setMeta({ starts: String(Number(starts) + 1) })
}

/**
 * Opens the data directory. A first start creates its contents under one lock between processes.
 * @param options as for `startServices`
 * @throws StartError with what to do
 */
export async function openData(
  config: Config,
  { clock, random }: Pick<Runtime, 'clock' | 'random'>,
  options: {
    claim?: Claim
    command?: string
    counted?: boolean
    mustExist?: boolean
    onUpgrade?: (upgrade: Upgrade) => void
  } = {},
) {
  const engine = await openEngine(config, clock)
  const { coordination, place } = engine
  if (options.mustExist && !(await engine.hasStore()))
    throw new CommandError('data.database-empty', { address: place })

  const refuseIfInUse = async (messageName: 'start.client-in-use' | 'start.database-gone') => {
    const processes = describeProcesses(await coordination.listProcesses())
    if (processes === '') return
    throw startError(messageName, { processes, directory: place })
  }

  const open = async () => {
    if (!(await engine.hasStore())) await refuseIfInUse('start.database-gone')
    const store = await engine.open(options.onUpgrade)
    try {
      refuseCopied(await store.getMeta(), place)
      const loadKeys = await loadSecretKeys(config, store, random)
      const vault = createVault(loadKeys, random)
      const formerUrls = await claimData(config, store, {
        vault,
        random,
        clock,
        claim: options.claim,
        place: {
          name: place,
          keepCopy: () => engine.keepCopy(),
          refuseOthers: () => refuseIfInUse('start.client-in-use'),
        },
      })
      const keys = createSigningKeys({ store, vault, clock, random })
      await keys.ensure('EdDSA')
      const subjectOf = await loadSubjects(store, random)
      const { command = 'serve', counted = command === 'serve' } = options
      if (counted) await countStart(store)
      const files = createUnsavedFiles(config.dataDir)
      const unsaved = createUnsavedTokens({ files, store, vault, clock })
      // Before others learn that the processes that kept them have died.
      const kept = command === 'serve' ? await unsaved.restoreAll() : null
      const self = { pid: process.pid, command, startedAt: clock.now(), keyIds: vault.keyIds() }
      const presence = await coordination.register(self)
      return { store, vault, keys, formerUrls, subjectOf, presence, unsaved, kept }
    } catch (error) {
      await store.close()
      throw error
    }
  }
  const fail = async (error: unknown): Promise<never> => {
    await coordination.close()
    return engine.explain(error)
  }
  const opened = await coordination.withStartLock(open).catch(fail)
  const { id } = opened.presence
  const processes = {
    id,
    /** The other processes that have the store open. */
    others: async () => (await coordination.listProcesses()).filter((one) => one.id !== id),
    /** A paused process counts as alive. */
    leaseMs: coordination.leaseMs,
    holdMs: () => coordination.holdMs(),
    hasDied: async (other: string) => other !== id && coordination.hasDied(other),
  }
  return {
    ...opened,
    coordination,
    processes,
    measureStorage: () => engine.measureStorage(),
    explainStoreError: (error: unknown) => engine.explain(error),
  }
}
