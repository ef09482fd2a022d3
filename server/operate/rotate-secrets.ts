import { describeProcesses } from '../../db/coordination.ts'
import type { RunningProcess } from '../../db/coordination.ts'
import { LockHeldError } from '../../db/errors.ts'
import { resealAll } from '../crypto/reseal.ts'
import { keyIdOf } from '../crypto/vault.ts'
import { fingerprintsOf } from '../data/data-ownership.ts'
import { newKey, readKeys, secretKeyFile, writeKeys } from '../data/secret-key.ts'
import type { Secret } from '../secret.ts'
import type { Services } from '../services.ts'
import { CommandError, formatMessage } from './messages.ts'

/** How long to wait for the brokers to load a key. Each broker checks the keys every second. */
const BROKER_TIMEOUT_MS = 60_000
const POLL_INTERVAL_MS = 200
const PROGRESS_INTERVAL_MS = 2000

/** Prints progress. */
type Report = (text: string) => void

/**
 * `secret rotate`: reseals everything with another key while any number of brokers serve. If it is killed at
 * any point, running it again completes it: `meta` records the new key's id (`secret_rotation`) before
 * anything changes.
 * @returns the message to print
 * @throws CommandError
 */
export async function rotateSecrets(
  services: Services,
  report: Report,
  timeoutMs = BROKER_TIMEOUT_MS,
): Promise<string> {
  const { config, coordination } = services
  const rotate = config.secrets ? rotateVariable : rotateFile
  return coordination
    .withLock('rotate', () => rotate(services, report, timeoutMs))
    .catch((error) => {
      throw error instanceof LockHeldError ? new CommandError('secret.rotate.locked') : error
    })
}

/** With BROKER_SECRETS: the operator has put a new key first and restarted the brokers. */
async function rotateVariable(services: Services, report: Report, timeoutMs: number) {
  const { store, vault, coordination } = services
  const [key = '', ...others] = vault.keyIds()
  const fingerprints = fingerprintsOf(await store.getMeta())
  if (fingerprints.every((id) => id === key)) {
    const resealed = await reseal(services, report)
    if (resealed === 0) return formatMessage('secret.rotate.nothing', { key })
    return formatMessage('secret.rotate.format', { key, resealed })
  }
  await waitForBrokers(services, ({ keyIds }) => keyIds[0] === key, report, timeoutMs)
  let resealed = await reseal(services, report)
  // A process that started meanwhile with the previous order of keys has sealed with the old key.
  await coordination.withStartLock(async () => {
    await waitForBrokers(services, ({ keyIds }) => keyIds[0] === key, report, 0)
    resealed += await reseal(services, report)
    await store.setMeta({ secret_fingerprints: key })
  })
  const values = { key, resealed, others: others.join(', ') }
  return formatMessage('secret.rotate.done-variable', values)
}

/** With `secret.key`: adds a key, waits until all have loaded it, makes it seal, and moves the old keys away. */
async function rotateFile(services: Services, report: Report, timeoutMs: number) {
  const { config, store, vault, coordination } = services
  const file = secretKeyFile(config.dataDir)
  const key = await coordination.withStartLock(() => addKey(services, file))
  await waitForBrokers(services, ({ keyIds }) => keyIds.includes(key), report, timeoutMs)

  await coordination.withStartLock(async () => {
    const fingerprints = fingerprintsOf(await store.getMeta())
    await store.setMeta({ secret_fingerprints: [...new Set([...fingerprints, key])].join(',') })
    const isNew = (one: Secret) => keyIdOf(one) === key
    const keys = readKeys(file)
    writeKeys(file, [...keys.filter(isNew), ...keys.filter((one) => !isNew(one))])
  })
  vault.reload(fingerprintsOf(await store.getMeta()))
  await waitForBrokers(services, ({ keyIds }) => keyIds[0] === key, report, timeoutMs)

  const resealed = await reseal(services, report)
  // Named after the new key, so that a run that completes a killed one uses the same file.
  const kept = `${file}.before-${key}`
  await coordination.withStartLock(async () => {
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
  return formatMessage('secret.rotate.done', { key, resealed, kept })
}

/** Returns the id of the new key: of the rotation in progress, or of a key added last in the file. */
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

/** Waits until every process that has the store open is ready. @throws CommandError after the timeout */
async function waitForBrokers(
  { processes, clock }: Services,
  isReady: (process: RunningProcess) => boolean,
  report: Report,
  timeoutMs: number,
): Promise<void> {
  const deadline = clock.now() + timeoutMs
  for (let isReported = false; ; isReported = true) {
    const waiting = (await processes.others()).filter((process) => !isReady(process))
    if (waiting.length === 0) return
    const names = describeProcesses(waiting)
    if (clock.now() >= deadline)
      throw new CommandError('secret.rotate.waiting', { processes: names })
    if (!isReported) report(`Waiting until these use the new key: ${names}`)
    await clock.sleep(POLL_INTERVAL_MS)
  }
}

/** Connections that a transaction marks as erased. */
const PURGE_BATCH_SIZE = 20

async function reseal(services: Services, report: Report): Promise<number> {
  const { store, clock } = services
  const reportProgress = limitRate(() => clock.now(), PROGRESS_INTERVAL_MS)
  const { resealed, failed, places } = await resealAll(services, (count) =>
    reportProgress(() => report(`Resealed ${count.toLocaleString('en')} values …`)),
  )
  if (failed > 0)
    throw new CommandError('secret.rotate.failed', { failed, places: places.join(', ') })
  // Erases the previous values from the log; a running broker does so too.
  while ((await store.purge({ now: clock.now(), limit: PURGE_BATCH_SIZE })) === 'more');
  return resealed
}

/** Runs `work` at most once per `intervalMs`. */
export function limitRate(now: () => number, intervalMs: number): (work: () => void) => void {
  let last = now()
  return (work) => {
    if (now() - last < intervalMs) return
    last = now()
    work()
  }
}
