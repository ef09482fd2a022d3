import type { Delivery, Store } from '../../../../db/store.ts'

/** Rows that are equal in what they are sorted by are in no order. No fields: the rows are in no order at all. */
export function sortTies<T>(rows: readonly T[], fields: (keyof T)[]): T[] {
  const keyOf = (row: T) => JSON.stringify(fields.map((field) => row[field]))
  const runs: T[][] = []
  for (const row of rows) {
    const run = runs.at(-1)
    if (run?.[0] !== undefined && keyOf(run[0]) === keyOf(row)) run.push(row)
    else runs.push([row])
  }
  return runs.flatMap((run) => run.toSorted((one, other) => (idOf(one) < idOf(other) ? -1 : 1)))
}

const idOf = (row: unknown): string => JSON.stringify(row)

/** Ids of deliveries are the engine's own. */
export const withoutId = ({ id: _, ...delivery }: Delivery): Omit<Delivery, 'id'> => delivery

/** Whether a lease lasts (1), has ended (-1), or was released: how long is up to the engine's clock. */
const withLeaseState = <T extends { leaseRemainingMs: number | null }>(row: T): T => ({
  ...row,
  leaseRemainingMs: row.leaseRemainingMs === null ? null : Math.sign(row.leaseRemainingMs),
})

/** By method: its answer without what the contract leaves open. */
export const comparable: {
  [M in keyof Store]?: (answer: Awaited<ReturnType<Store[M]>>) => unknown
} = {
  listUsedStates: (rows) => sortTies(rows, []),
  listWaitingDeviceCodes: (rows) => sortTies(rows, []),
  listBulkItems: (rows) => sortTies(rows, []),
  listDueSinks: (rows) => sortTies(rows, []),
  listLinks: (rows) => sortTies(rows, ['createdAt']),
  listConnectionsOfAccount: (rows) => sortTies(rows.map(withLeaseState), ['connectedAt']),
  listSessions: (rows) => sortTies(rows, ['lastSeenAt']),
  listPasskeys: (rows) => sortTies(rows, ['createdAt']),
  listWebhooks: (rows) => sortTies(rows, ['createdAt']),
  listSigningKeys: (rows) => sortTies(rows, ['createdAt']),
  listLeases: (rows) => sortTies(rows.map(withLeaseState), ['leaseRemainingMs']),
  getConnection: (row) => row && withLeaseState(row),
  findConnection: (row) => row && withLeaseState(row),
  listDueDeliveries: (rows) => sortTies(rows.map(withoutId), ['nextAt']),
  listDeliveries: (rows) => rows.map(withoutId),
  sumUsage: (rows) => sortTies(rows, []),
  // The time of the next attempt is not in the answer, so the order cannot be told from it.
  listFailed: (rows) => sortTies(rows, []),
  listPublicEvents: ({ events, ...rest }) => ({ ...rest, events: events.map(sortAppIds) }),
  getPublicEvent: (event) => event && sortAppIds(event),
}

const sortAppIds = <T extends { appIds: string[] }>(event: T): T => ({
  ...event,
  appIds: event.appIds.toSorted(),
})
