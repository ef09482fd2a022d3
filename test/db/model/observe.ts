import type { Millis } from '../../../db/store.ts'
import { withoutId } from './commands/answers.ts'
import { call, several } from './commands/context.ts'
import type { AnyStore, Call } from './commands/context.ts'
import { listAllSealed } from './commands/upkeep.ts'
import { pick } from './reference/grants.ts'
import type { Tables } from './reference/tables.ts'

const ALL = 100_000

/** Ids that a history has used, so that rows are noticed that should be gone. */
export type UsedIds = Record<(typeof LOOKED_UP)[number], Set<string>>

const LOOKED_UP = [
  'apps',
  'codes',
  'deviceCodes',
  'connections',
  'grants',
  'links',
  'admins',
  'sessions',
] as const

export const noIds = (): UsedIds =>
  Object.fromEntries(LOOKED_UP.map((table) => [table, new Set<string>()])) as UsedIds

export function rememberIds(used: UsedIds, tables: Tables): void {
  for (const table of LOOKED_UP) for (const id of tables[table].keys()) used[table].add(id)
}

/** Reads everything that the contract tells. */
export const observe = async (
  store: AnyStore,
  used: UsedIds,
  now: Millis,
): Promise<(readonly [string, unknown])[]> =>
  Promise.all(
    (await reads(store, used, now)).map(async ({ text, run }) => [text, await run(store)] as const),
  )

async function reads(store: AnyStore, used: UsedIds, now: Millis): Promise<Call[]> {
  const bulkIds = (await store.listBulks(ALL)).map(({ id }) => id)
  const accounts = ['account 1', 'account 2', 'account 3']
  return [
    call('listApps'),
    ...[...used.apps].map((id) => call('getApp', id)),
    call(
      'listUsedStates',
      Array.from({ length: 6 }, (_, index) => `s${index}`),
    ),
    ...[...used.codes].map((codeHash) => call('getCode', codeHash)),
    ...[...used.deviceCodes].map((deviceCodeHash) => call('getDeviceCode', { deviceCodeHash })),
    call('listWaitingDeviceCodes', now),
    ...[...used.connections].flatMap((id) => [
      call('getConnection', id),
      call('listGrants', id),
      call('listLinks', { connectionId: id, now }),
    ]),
    ...[...used.grants].map((id) => call('getGrant', id)),
    ...[...used.links].flatMap((id) => [
      call('getLink', id),
      call('getLinkState', `secret of ${id}`),
    ]),
    ...accounts.flatMap((account) => [
      call('findConnection', account),
      call('listConnectionsOfAccount', account),
    ]),
    call('getUsernames', [...used.connections, 'none']),
    call('countConnections'),
    several('countConnectionsByApp', async (store) =>
      // An app without any may be left out.
      [...(await store.countConnectionsByApp())]
        .filter(([, counts]) => Object.values(counts).some((count) => count > 0))
        .sort(([one], [other]) => (one < other ? -1 : 1)),
    ),
    call('listLeases', ALL),
    call('listFailed', { retryBefore: now, limit: ALL }),
    call('listBulks', ALL),
    ...bulkIds.flatMap((id) => [
      call('getBulk', id),
      call('listBulkItems', { id, failed: false, limit: ALL }),
    ]),
    call('listAdmins'),
    ...['ann', 'bob', 'eve'].map((name) => call('findAdmin', `${name}@x.example`)),
    ...['key 0', 'key 1', 'key 2', 'key 3'].map((id) => call('findPasskey', id)),
    call('findAdminByOidc', { issuer: 'https://id.example', subject: '1' }),
    ...[...used.admins].flatMap((adminId) => [
      call('getSecondFactor', adminId),
      call('listPasskeys', adminId),
      call('listSessions', { adminId, now }),
      call('isDevice', { secretHash: 'device 0', adminId, now }),
    ]),
    ...[...used.sessions].map((idHash) => call('getSession', { idHash, now })),
    call('listEvents', { limit: ALL }),
    call('listPublicEvents', { after: 0, appId: null, limit: ALL }),
    call('lastEventId'),
    call('listWebhooks'),
    ...['webhook 1', 'webhook 2', 'command'].flatMap((sinkId) => [
      call('getWebhook', sinkId),
      call('listDeliveries', { sinkId, before: null, limit: ALL }),
      several(`getDelivery of ${sinkId}`, async (store) => {
        const listed = await store.listDeliveries({ sinkId, before: null, limit: ALL })
        const found = await Promise.all(listed.map(async ({ id }) => store.getDelivery(id)))
        return found.map((delivery) => delivery && withoutId(delivery))
      }),
    ]),
    call('getDelivery', 0),
    call('countDeliveries'),
    call('hasOutboxWork', now),
    call('sumUsage', { since: 0 }),
    call('sumUsage', { since: 0, appId: null }),
    call('getCounters', ['counter 1', 'counter 2'], now),
    call('getUpstream'),
    call('listSigningKeys'),
    call('isErasurePending'),
    // The engine may keep facts of its own.
    several('getMeta', async (store) => pick(await store.getMeta(), 'a', 'b', 'c')),
    several('listSealed', async (store) =>
      (await listAllSealed(store)).map(({ associatedData, sealed }) => [associatedData, sealed]),
    ),
  ]
}
