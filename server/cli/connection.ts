import { Command, Option } from 'commander'
import type { Connection, Event, Grant, ListedConnection } from '../../db/store.ts'
import { CONNECTION_STATUSES } from '../connections/connections.ts'
import type { RevocationResult } from '../connections/connections.ts'
import { listDevices } from '../connections/devices.ts'
import type { Device } from '../connections/devices.ts'
import { EllipsisError } from '../ellipsis/errors.ts'
import { BrokerError } from '../errors.ts'
import { CommandError, errorMessage } from '../operate/messages.ts'
import type { Services } from '../services.ts'
import { ACTOR, withServices } from './with-services.ts'
import { importCommand } from './import.ts'
import { formatTime, print, printJson, printTable } from './terminal.ts'

interface Flags {
  app?: string
  status?: Connection['status']
  search?: string
  json?: boolean
}

/** `connection`: the connected accounts. */
export function connectionCommand(): Command {
  const connection = new Command('connection').description('manage the connected accounts')

  connection
    .command('list')
    .description('list connections')
    .option('--app <client_id>', 'connections on which this app has a grant')
    .addOption(
      new Option('--status <status>', 'connections with this status').choices(CONNECTION_STATUSES),
    )
    .option(
      '--search <text>',
      'part of the user name, or the id of a connection, an account, or a user of an app',
    )
    .option('--json', 'print JSON')
    .action(list)

  connection
    .command('show <id>')
    .description('show a connection, its devices and latest events')
    .option('--json', 'print JSON')
    .action(show)

  connection
    .command('refresh <id>')
    .description('fetch a new access token from Ellipsis Drive')
    .action(refresh)

  connection
    .command('erase <id>')
    .description('revoke a connection and erase personal data: name, account, devices, addresses')
    .action(erase)

  connection
    .command('revoke <id>')
    .description('revoke a connection and delete its tokens; with --app, revoke one app only')
    .option('--app <client_id>', 'revoke the grants of this app and keep the others')
    .action(revoke)
  connection.addCommand(importCommand())
  return connection
}

async function refresh(id: string): Promise<void> {
  const work = async ({ connections }: Services) => {
    const { expiresAt } = await connections.refresh(id, ACTOR).catch(explainRefusal(id))
    print(`Refreshed. The new access token is valid until ${formatTime(expiresAt)}.`)
  }
  await withServices(work, { upstream: true })
}

/** A handler of errors of a refresh: what a user or the operator must change becomes a CommandError. */
const explainRefusal =
  (connection: string) =>
  (error: unknown): never => {
    if (!(error instanceof BrokerError)) throw error
    const { code, cause } = error
    if (cause instanceof EllipsisError && cause.kind === 'misconfigured') {
      throw new CommandError('refresh.client-refused')
    }
    if (code !== 'needs_reconnect') throw error
    const reason = errorMessage(cause ?? error)
    throw new CommandError('refresh.refused', { connection, reason })
  }

async function list({ app, status, search, json }: Flags): Promise<void> {
  await withServices(async ({ connections }) => {
    const filter = { appId: app ?? null, statuses: status ? [status] : CONNECTION_STATUSES }
    const all = await Array.fromAsync(connections.all({ ...filter, search: search ?? null }))
    if (json) return printJson(all.map(toJson))
    printTable(all.map(toRow), 'No connections found.')
  })
}

async function show(id: string, { json }: Flags): Promise<void> {
  await withServices(async ({ clock, connections }) => {
    const { connection, grants, events } = await connections.show(id)
    const fields = toJson(connection)
    if (json) {
      return printJson({
        ...fields,
        grants: grants.map(grantToJson),
        events: events.map(eventToJson),
      })
    }
    for (const [key, value] of Object.entries(fields)) print(`${key.padEnd(24)}${value ?? '-'}`)
    print('\nDevices')
    printTable(listDevices(grants, clock.now()).map(deviceToRow), 'None.')
    print('\nLatest events')
    printTable(events.map(eventToRow), 'None.')
  })
}

async function revoke(id: string, { app }: Flags): Promise<void> {
  await withServices(async ({ apps, connections }) => {
    if (app !== undefined) {
      const { grants } = await connections.revokeApp(id, app, ACTOR)
      // A removed app may still have grants for a moment. Without grants, an unknown app is an error.
      if (grants === 0) await apps.get(app)
      return print(
        `Revoked ${count(grants, 'grant')} of ${app} on ${id}. The connection stays for other apps.`,
      )
    }
    const revoked = await connections.revoke(id, ACTOR)
    print(
      `Revoked ${id} and ${count(revoked.grants, 'grant')}. The broker issues no more tokens for it.`,
    )
    printErasure(revoked)
  })
}

async function erase(id: string): Promise<void> {
  await withServices(async ({ connections }) => {
    const erased = await connections.erase(id, ACTOR)
    print(
      `Revoked ${id} and erased its personal data. The events still show what was done, but not for whom.`,
    )
    printErasure(erased)
  })
}

function printErasure({ erased, tokensUntil }: RevocationResult): void {
  print(
    erased
      ? 'Its tokens are erased from this data directory.'
      : 'Its tokens are overwritten, but the database log is not truncated yet. A running broker retries every few seconds.',
  )
  const latest = tokensUntil === null ? '' : `, at the latest ${formatTime(tokensUntil)}`
  print(
    `Access tokens already issued stay valid until they expire${latest}. Ellipsis Drive cannot revoke them.`,
  )
}

const count = (number: number, noun: string): string =>
  `${number} ${noun}${number === 1 ? '' : 's'}`

const toJson = (connection: Connection | ListedConnection) => ({
  id: connection.id,
  account_id: connection.accountId,
  username: connection.username,
  status: connection.status,
  access_token_expires_at: formatTime(connection.accessTokenExpiresAt),
  connected_at: formatTime(connection.connectedAt),
  refreshed_at: formatTime(connection.refreshedAt),
  last_used_at: formatTime(connection.lastUsedAt),
  failures: connection.failures,
  last_error: connection.lastError,
  revoked_at: formatTime(connection.revokedAt),
  erased_at: formatTime(connection.erasedAt),
  person_erased_at: formatTime(connection.personErasedAt),
})

const grantToJson = (grant: Grant) => ({
  id: grant.id,
  client_id: grant.appId,
  external_id: grant.externalId,
  device: grant.device,
  created_at: formatTime(grant.createdAt),
  last_used_at: formatTime(grant.lastUsedAt),
  expires_at: formatTime(grant.expiresAtSeconds * 1000),
  revoked_at: formatTime(grant.revokedAt),
})

const eventToJson = (event: Event) => ({
  at: formatTime(event.at),
  actor: event.actor,
  action: event.action,
  client_id: event.appId,
  grant_id: event.grantId,
  address: event.address,
  details: event.details,
})

const toRow = (connection: ListedConnection) => ({
  id: connection.id,
  user: connection.username || '(unknown)',
  status: connection.status,
  connected: formatTime(connection.connectedAt),
  token_valid_until: formatTime(connection.accessTokenExpiresAt) ?? '-',
})

const deviceToRow = ({ grant, lastUsedAt }: Device) => ({
  id: grant.id,
  app: grant.appId,
  device: grant.device,
  last_used: formatTime(lastUsedAt) ?? 'never',
  status: grant.revokedAt === null ? 'active' : 'revoked',
})

const eventToRow = (event: Event) => ({
  at: formatTime(event.at),
  who: event.actor,
  what: event.action,
  details: event.details ?? '',
})
