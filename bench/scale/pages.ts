import { join } from 'node:path'
import Database from 'better-sqlite3'
import type { App } from '../../db/store.ts'
import type { Visitor } from '../../test/visitor.ts'
import { timesOf } from './times.ts'
import type { Times } from './times.ts'

/** How often each page is asked for, after some that don't count. */
const ROUNDS = 200
const WARM_UP = 20

/** The pages that are measured, by what they are called in the report. */
export function pagesOf(dataDir: string, apps: App[]): Record<string, string> {
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
  const place = Buffer.from(JSON.stringify([0, middle.n, middle.at])).toString('base64url')
  const users = (query: string) => `/admin/users?${query}`
  return {
    'list, first page': users(''),
    'list, a page in the middle': users(`from=${place}&sort=connected&order=desc`),
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
    'search that hits often': users('q=anna'),
    'search by one letter': users('q=a'),
    'search that hits rarely': users('q=zephyrine'),
    'search that never hits': users('q=qqqq'),
    'search by id': users(`q=${id}`),
    "a user's page": `/admin/users/${id}`,
    overview: '/admin',
    'overview, 30 days': '/admin?period=30d',
    'audit log': '/admin/audit',
    'audit log of one user': `/admin/audit?connection=${id}`,
    'audit log, an action': '/admin/audit?action=grant.begun',
    'audit log, nothing found': '/admin/audit?actor=admin:nobody@example.com',
  }
}

/** Times of one page from the request to its last byte, as one browser sees them on the same machine. */
export async function timePage(visitor: Visitor, url: string): Promise<Times> {
  const times: number[] = []
  for (let round = -WARM_UP; round < ROUNDS; round++) {
    const beganAt = performance.now()
    const { status } = await visitor.open(url)
    if (status !== 200) throw new Error(`${url} answered ${status}`)
    if (round >= 0) times.push(performance.now() - beganAt)
  }
  return timesOf(times)
}
