import { Command, Option } from 'commander'
import type { Connection, Event, Grant, ListedConnection } from '../../db/store.ts'
import { CONNECTION_STATUSES } from '../connections/connections.ts'
import type { RevocationResult } from '../connections/connections.ts'
import { ACTOR, withServices } from './with-services.ts'
import { importCommand } from './import.ts'
import { print, printJson, printTable, time } from './output.ts'

interface Flags {
  app?: string
  status?: Connection['status']
  search?: string
  json?: boolean
}

/** `connection`: the connected accounts. */
export function connectionCommand(): Command {
  const connection = new Command('connection').description('the connected accounts')

  connection
    .command('list')
    .description('who is connected')
    .option('--app <client_id>', 'those that this app has a grant of')
    .addOption(new Option('--status <status>').choices(CONNECTION_STATUSES))
    .option(
      '--search <text>',
      'letters of the user’s name; or the id of a connection or an account',
    )
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
          const { expiresAt } = await connections.refresh(id, ACTOR)
          print(`Refreshed. The new access token is good until ${time(expiresAt)}.`)
        },
        { upstream: true },
      ),
    )

  connection
    .command('erase <id>')
    .description('revoke it, and forget whose it was: name, account, devices, addresses')
    .action(erase)

  connection
    .command('revoke <id>')
    .description('cut it off and delete its tokens; with --app, one app only')
    .option('--app <client_id>', 'revoke this app’s grants, and leave the others')
    .action(revoke)
  connection.addCommand(importCommand())
  return connection
}

async function list({ app, status, search, json }: Flags): Promise<void> {
  await withServices(async ({ connections }) => {
    const filter = { appId: app ?? null, statuses: status ? [status] : CONNECTION_STATUSES }
    const all = await Array.fromAsync(connections.all({ ...filter, search: search ?? null }))
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
  await withServices(async ({ apps, connections }) => {
    if (app !== undefined) {
      const { grants } = await connections.revokeApp(id, app, ACTOR)
      // A removed app may still have grants for a moment; with none, it is a name that isn't known.
      if (grants === 0) await apps.get(app)
      return print(
        `Revoked ${count(grants, 'grant')} of ${app} on ${id}. The connection stays for other apps.`,
      )
    }
    const revoked = await connections.revoke(id, ACTOR)
    print(
      `Revoked ${id}, and ${count(revoked.grants, 'grant')} with it. Nothing new is handed out from now on.`,
    )
    printErasure(revoked)
  })
}

async function erase(id: string): Promise<void> {
  await withServices(async ({ connections }) => {
    const erased = await connections.erase(id, ACTOR)
    print(
      `Revoked ${id}, and removed whose it was. That it was, and what was done to it, stays in the events.`,
    )
    printErasure(erased)
  })
}

function printErasure({ erased, tokensUntil }: RevocationResult): void {
  print(
    erased
      ? 'Its tokens are erased from this data directory.'
      : 'Its tokens are overwritten; the database’s log still has to be emptied, which a running server tries every few seconds.',
  )
  const end = tokensUntil === null ? 'they end' : `they end, at the latest ${time(tokensUntil)}`
  print(
    `Access tokens already handed out live until ${end}: Ellipsis Drive has no way to take them back.`,
  )
}

const count = (number: number, noun: string): string =>
  `${number} ${noun}${number === 1 ? '' : 's'}`

const describe = (connection: Connection | ListedConnection) => ({
  id: connection.id,
  account_id: connection.accountId,
  username: connection.username,
  status: connection.status,
  access_token_expires_at: time(connection.accessTokenExpiresAt),
  connected_at: time(connection.connectedAt),
  refreshed_at: time(connection.refreshedAt),
  last_used_at: time(connection.lastUsedAt),
  failures: connection.failures,
  last_error: connection.lastError,
  revoked_at: time(connection.revokedAt),
  erased_at: time(connection.erasedAt),
  person_erased_at: time(connection.personErasedAt),
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

const row = (connection: ListedConnection) => ({
  id: connection.id,
  user: connection.username || '(not told)',
  status: connection.status,
  connected: time(connection.connectedAt),
  token_good_until: time(connection.accessTokenExpiresAt) ?? '-',
})

const grantRow = (grant: Grant) => ({
  id: grant.id,
  app: grant.appId,
  device: grant.device,
  last_used: time(grant.lastUsedAt) ?? 'not yet',
  status: grant.revokedAt === null ? 'active' : 'revoked',
})

const eventRow = (event: Event) => ({
  at: time(event.at),
  who: event.actor,
  what: event.action,
  details: event.details ?? '',
})
