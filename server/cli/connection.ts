import { Command, Option } from 'commander'
import type { Connection, Event, Grant } from '../../db/store.ts'
import { ACTOR, withServices } from './data.ts'
import { print, printJson, printTable, time } from './output.ts'

interface Flags {
  app?: string
  status?: Connection['status']
  json?: boolean
}

const PAGE = 500

/** `connection`: the connected accounts. */
export function connectionCommand(): Command {
  const connection = new Command('connection').description('the connected accounts')

  connection
    .command('list')
    .description('who is connected')
    .option('--app <client_id>', 'those that this app has a grant of')
    .addOption(new Option('--status <status>').choices(['active', 'needs_reconnect', 'revoked']))
    .option('--json', 'as JSON')
    .action(list)

  connection
    .command('show <id>')
    .description('one connection, its devices and its latest events')
    .option('--json', 'as JSON')
    .action(show)

  connection
    .command('refresh <id>')
    .description('fetch a fresh access token from Ellipsis Drive now')
    .action((id: string) =>
      withServices(
        async ({ connections }) => {
          const { expiresAt } = await connections.refresh(id)
          print(`Refreshed. The new access token is good until ${time(expiresAt)}.`)
        },
        { upstream: true },
      ),
    )

  connection
    .command('revoke <id>')
    .description('cut it off and delete its tokens; with --app, one app only')
    .option('--app <client_id>', 'revoke this app’s grants, and leave the others')
    .action(revoke)
  return connection
}

async function list({ app, status, json }: Flags): Promise<void> {
  await withServices(async ({ connections }) => {
    const all: Connection[] = []
    const filter = { ...(app !== undefined && { appId: app }), ...(status && { status }) }
    for (let after: string | null = null; ;) {
      const page = await connections.list({ ...filter, after, limit: PAGE })
      all.push(...page)
      after = page.at(-1)?.id ?? null
      if (page.length < PAGE) break
    }
    if (json) return printJson(all.map(describe))
    printTable(all.map(row), 'Nobody is connected.')
  })
}

async function show(id: string, { json }: Flags): Promise<void> {
  await withServices(async ({ connections }) => {
    const { connection, grants, events } = await connections.show(id)
    const facts = describe(connection)
    if (json) {
      return printJson({
        ...facts,
        grants: grants.map(describeGrant),
        events: events.map(describeEvent),
      })
    }
    for (const [key, value] of Object.entries(facts)) print(`${key.padEnd(24)}${value ?? '-'}`)
    print('\nDevices')
    printTable(grants.map(grantRow), 'None.')
    print('\nLatest events')
    printTable(events.map(eventRow), 'None.')
  })
}

async function revoke(id: string, { app }: Flags): Promise<void> {
  await withServices(async ({ connections }) => {
    if (app !== undefined) {
      const { grants } = await connections.revokeApp(id, app, ACTOR)
      return print(
        `Revoked ${count(grants, 'grant')} of ${app} on ${id}. The connection stays for other apps.`,
      )
    }
    const { grants, erased } = await connections.revoke(id, ACTOR)
    print(
      `Revoked ${id}, and ${count(grants, 'grant')} with it. Nothing new is handed out from now on.`,
    )
    print(
      erased
        ? 'Its tokens are erased from this data directory.'
        : 'Its tokens are overwritten; the database’s log still has to be emptied, which a running server tries every few seconds.',
    )
    print(
      'Access tokens already handed out live until they end: Ellipsis Drive has no way to take them back.',
    )
  })
}

const count = (number: number, noun: string): string =>
  `${number} ${noun}${number === 1 ? '' : 's'}`

const describe = (connection: Connection) => ({
  id: connection.id,
  account_id: connection.accountId,
  username: connection.username,
  status: connection.status,
  access_token_expires_at: time(connection.accessTokenExpiresAt),
  connected_at: time(connection.connectedAt),
  refreshed_at: time(connection.refreshedAt),
  failures: connection.failures,
  last_error: connection.lastError,
  revoked_at: time(connection.revokedAt),
  erased_at: time(connection.erasedAt),
})

const describeGrant = (grant: Grant) => ({
  id: grant.id,
  client_id: grant.appId,
  device: grant.device,
  created_at: time(grant.createdAt),
  last_used_at: time(grant.lastUsedAt),
  expires_at: time(grant.expiresAtSeconds * 1000),
  revoked_at: time(grant.revokedAt),
})

const describeEvent = (event: Event) => ({
  at: time(event.at),
  actor: event.actor,
  action: event.action,
  client_id: event.appId,
  grant_id: event.grantId,
  address: event.address,
  details: event.details,
})

const row = (connection: Connection): Record<string, string> => ({
  id: connection.id,
  user: connection.username || '(not told)',
  status: connection.status,
  connected: time(connection.connectedAt) ?? '',
  token_good_until: time(connection.accessTokenExpiresAt) ?? '-',
})

const grantRow = (grant: Grant): Record<string, string> => ({
  id: grant.id,
  app: grant.appId,
  device: grant.device,
  last_used: time(grant.lastUsedAt) ?? 'not yet',
  status: grant.revokedAt === null ? 'active' : 'revoked',
})

const eventRow = (event: Event): Record<string, string> => ({
  at: time(event.at) ?? '',
  who: event.actor,
  what: event.action,
  details: event.details ?? '',
})
