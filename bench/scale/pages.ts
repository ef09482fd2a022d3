import { join } from 'node:path'
import Database from 'better-sqlite3'
import type { App } from '../../db/store.ts'
import type { Visitor } from '../../test/visitor.ts'
import { percentilesOf } from '../load.ts'
import type { Percentiles } from '../load.ts'

/** Measured requests per page. */
const ROUNDS = 200
/** Requests per page that are not measured. */
const WARM_UP_ROUNDS = 20

/** The paths of the measured pages, by their names in the report. */
export function listPages(dataDir: string, apps: App[]): Record<string, string> {
  const client = new Database(join(dataDir, 'broker.db'), { readonly: true })
  const middle = client
    .prepare(
      `select n, connected_at as at from listing where app = 0 and status = 0
      order by connected_at desc limit 1 offset (select rows / 2 from listing_totals where app = 0 and status = 0)`,
    )
    .get() as { n: number; at: number }
  const id = client
    .prepare('select connection_id from listing_names where n = ?')
    .pluck()
    .get(middle.n) as string
  client.close()
  const cursor = Buffer.from(JSON.stringify([0, middle.n, middle.at])).toString('base64url')
  const users = (query: string) => `/admin/users?${query}`
  return {
    'list, first page': users(''),
    'list, a page in the middle': users(`from=${cursor}&sort=connected&order=desc`),
    ...Object.fromEntries(
      ['active', 'needs_reconnect', 'revoked', 'all'].map((status) => [
        `filter: ${status}`,
        users(`status=${status}`),
      ]),
    ),
    ...Object.fromEntries(apps.map(({ id, name }) => [`filter: app ${name}`, users(`app=${id}`)])),
    'filter: app and status': users(
      `app=${apps.find(({ name }) => name === 'Web map')?.id}&status=needs_reconnect`,
    ),
    ...Object.fromEntries(
      ['user', 'connected', 'used', 'until'].flatMap((sort) =>
        ['asc', 'desc'].map((order) => [
          `sort: ${sort} ${order}`,
          users(`sort=${sort}&order=${order}`),
        ]),
      ),
    ),
    'search with many matches': users('q=anna'),
    'search by one letter': users('q=a'),
    'search with few matches': users('q=zephyrine'),
    'search without matches': users('q=qqqq'),
    'search by id': users(`q=${id}`),
    "a user's page": `/admin/users/${id}`,
    overview: '/admin',
    'overview, 30 days': '/admin?period=30d',
    'audit log': '/admin/audit',
    'audit log of one user': `/admin/audit?connection=${id}`,
    'audit log, an action': '/admin/audit?action=grant.begun',
    'audit log without matches': '/admin/audit?actor=admin:nobody@example.com',
  }
}

/** Measures a page, in milliseconds from the request to the last byte, on the same machine. */
export async function measurePage(visitor: Visitor, url: string): Promise<Percentiles> {
  const durationsMs: number[] = []
  for (let round = -WARM_UP_ROUNDS; round < ROUNDS; round++) {
    const startedAt = performance.now()
    const { status } = await visitor.open(url)
    if (status !== 200) throw new Error(`${url} responded with status ${status}`)
    if (round >= 0) durationsMs.push(performance.now() - startedAt)
  }
  return percentilesOf(durationsMs)
}
