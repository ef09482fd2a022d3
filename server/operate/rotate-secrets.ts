import { describeProcesses } from '../../db/data-directory/presence.ts'
import type { RunningProcess } from '../../db/data-directory/presence.ts'
import { resealAll } from '../crypto/reseal.ts'
import { keyIdOf } from '../crypto/vault.ts'
import { fingerprintsOf } from '../data/data-ownership.ts'
import { newKey, readKeys, secretKeyFile, writeKeys } from '../data/secret-key.ts'
import type { Services } from '../services.ts'
import { CommandError, message } from './messages.ts'

/** How long the brokers are waited for, milliseconds; each looks at the keys every second. */
const PATIENCE = 60_000

export type Report = (text: string) => void

/**
 * `secret rotate`: everything is sealed with another key, while any number of brokers serve. Answers how it
 * ended. Killed at any point, it is completed by running it again: what is under way is in `meta`
 * (`secret_rotation`, the new key's id) before anything changes.
 * @throws Ended
 */
export async function rotateSecrets(
  services: Services,
  report: Report,
  patience = PATIENCE,
): Promise<string> {
  const { config, locks } = services
  const rotate = config.secrets ? rotateVariable : rotateFile
  return locks
    .alone('rotate.lock', () => rotate(services, report, patience))
    .catch((error) => {
      throw (error as { code?: unknown }).code === 'SQLITE_BUSY'
        ? new CommandError('secret.rotate.busy')
        : error
    })
}

/** With BROKER_SECRETS, where the operator has put a new key in front, and restarted the brokers. */
async function rotateVariable(services: Services, report: Report, patience: number) {
  const { store, vault, locks } = services
  const [key = '', ...others] = vault.keyIds()
  const before = fingerprintsOf(await store.getMeta())
  if (before.every((id) => id === key)) return message('secret.rotate.nothing', { key })
  await untilAll(services, ({ keyIds }) => keyIds[0] === key, report, patience)
  let resealed = await reseal(services, report)
  // A process that started meanwhile with the keys in their former order has sealed with the old one.
  await locks.start(async () => {
    await untilAll(services, ({ keyIds }) => keyIds[0] === key, report, 0)
    resealed += await reseal(services, report)
    await store.setMeta({ secret_fingerprints: key })
  })
  const values = { key, resealed, others: others.join(', ') }
  return message('secret.rotate.done-variable', values)
}

/** With the file: a new key is added, loaded everywhere, seals, and at last the old ones go aside. */
async function rotateFile(services: Services, report: Report, patience: number) {
  const { config, store, vault, locks } = services
  const file = secretKeyFile(config.dataDir)
  const key = await locks.start(() => addKey(services, file))
  await untilAll(services, ({ keyIds }) => keyIds.includes(key), report, patience)

  await locks.start(async () => {
    const known = fingerprintsOf(await store.getMeta())
    await store.setMeta({ secret_fingerprints: [...new Set([...known, key])].join(',') })
    writeKeys(
      file,
      readKeys(file).sort((one, other) => first(key, other) - first(key, one)),
    )
  })
  vault.reload(fingerprintsOf(await store.getMeta()))
  await untilAll(services, ({ keyIds }) => keyIds[0] === key, report, patience)

  const resealed = await reseal(services, report)
  // Named by the key, so that a run that completes one that was killed means the same file.
  const kept = `${file}.before-${key}`
  await locks.start(async () => {
    const keys = readKeys(file)
    const old = keys.filter((one) => keyIdOf(one) !== key)
    if (old.length > 0) writeKeys(kept, old)
    await store.setMeta({ secret_fingerprints: key })
    writeKeys(
      file,
      keys.filter((one) => keyIdOf(one) === key),
    )
    await store.setMeta({ secret_rotation: '' })
  })
  vault.reload([key])
  return message('secret.rotate.done', { key, resealed, kept })
}

/** The id of the key that a rotation leads to: of the one under way, or of a new one, last in the file. */
async function addKey({ store, random }: Services, file: string): Promise<string> {
  const keys = readKeys(file)
  const { secret_rotation: id } = await store.getMeta()
  const pending = keys.find((key) => keyIdOf(key) === id)
  if (pending) return keyIdOf(pending)
  const added = newKey(random)
  await store.setMeta({ secret_rotation: keyIdOf(added) })
  writeKeys(file, [...keys, added])
  return keyIdOf(added)
}

const first = (id: string, key: Parameters<typeof keyIdOf>[0]): number =>
  keyIdOf(key) === id ? 1 : 0

/** Waits until every process that has the store open has those keys. @throws Ended */
async function untilAll(
  { processes, clock }: Services,
  isReady: (process: RunningProcess) => boolean,
  report: Report,
  patience: number,
): Promise<void> {
  const until = clock.now() + patience
  for (let told = false; ; told = true) {
    const late = processes.others().filter((process) => !isReady(process))
    if (late.length === 0) return
    const names = describeProcesses(late)
    if (clock.now() >= until) throw new CommandError('secret.rotate.waiting', { processes: names })
    if (!told) report(`Waiting until these use the new key: ${names}`)
    await clock.sleep(200)
  }
}

/** Connections that a transaction marks as erased. */
const PURGE_BATCH = 20

async function reseal(services: Services, report: Report): Promise<number> {
  const { store, clock } = services
  const everyTwoSeconds = occasionally(() => clock.now(), 2000)
  const { resealed, failed, places } = await resealAll(services, (count) =>
    everyTwoSeconds(() => report(`Sealed ${count.toLocaleString('en')} values anew …`)),
  )
  if (failed > 0)
    throw new CommandError('secret.rotate.unopened', { failed, places: places.join(', ') })
  // The log still has the former values; a running broker removes them too.
  while ((await store.purge({ now: clock.now(), limit: PURGE_BATCH })) === 'more');
  return resealed
}

/** Runs what it is given at most once in `period` milliseconds. */
export function occasionally(now: () => number, period: number): (work: () => void) => void {
  let last = now()
  return (work) => {
    if (now() - last < period) return
    last = now()
    work()
  }
}
