import type { App } from '../../db/store.ts'
import type { Visitor } from '../../test/visitor.ts'
import { percentilesOf } from '../load.ts'
import type { Percentiles } from '../load.ts'

/** Measured requests per page. */
const ROUNDS = 200
/** Requests per page that are not measured. */
const WARM_UP_ROUNDS = 20

/** Reads rows of the measured store. */
export type Ask = (statement: string) => Promise<unknown[]>

/** The paths of the measured pages, by their names in the report. */
export async function listPages(ask: Ask, apps: App[]): Promise<Record<string, string>> {
  const [middle] = (await ask(
    `select listing.n, connected_at, connection_id as id
    from listing join listing_names on listing_names.n = listing.n where app = 0 and status = 0
    order by connected_at desc, listing.n desc limit 1
    offset (select count(*) / 2 from listing where app = 0 and status = 0)`,
  )) as { n: number | string; connected_at: number | string; id: string }[]
  if (!middle) throw new Error('the store has no connections')
  const { id } = middle
  const position = [0, Number(middle.n), Number(middle.connected_at)]
  const cursor = Buffer.from(JSON.stringify(position)).toString('base64url')
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
