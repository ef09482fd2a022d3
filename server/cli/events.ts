import { Command, Option } from 'commander'
import type { EventType } from '../../db/store.ts'
import { EVENT_TYPE_NAMES } from '../events/event-texts.ts'
import type { Message } from '../events/message.ts'
import { hasOutputFailed } from './output.ts'
import { print, printable } from './terminal.ts'
import { withServices } from './with-services.ts'

interface Flags {
  follow?: boolean
  after?: string
  app?: string
  connection?: string
  type?: EventType[]
  json?: boolean
}

const PAGE_SIZE = 200
/** How long `--follow` waits before it looks for new events. */
const POLL_INTERVAL_MS = 500

/** `events`: what webhooks get, in order, for hosts that poll. */
export function eventsCommand(): Command {
  return new Command('events')
    .description('print the events, the oldest first')
    .option('--follow', 'print new events as they happen, until Ctrl-C')
    .option(
      '--after <id>',
      'only events after this one (default: all; with --follow: those that happen from now on)',
    )
    .option('--app <client_id>', 'only events that concern this app')
    .option('--connection <id>', 'only events of this connection')
    .addOption(
      new Option('--type <type...>', 'only these types, such as connection.revoked').choices(
        EVENT_TYPE_NAMES,
      ),
    )
    .option('--json', 'print each event as a line of JSON, as a webhook gets it')
    .action(events)
}

async function events({ follow, after, app, connection, type, json }: Flags): Promise<void> {
  const stop = new AbortController()
  const onSignal = () => stop.abort()
  const isWanted = () => !stop.signal.aborted && !hasOutputFailed()
  for (const signal of SIGNALS) process.once(signal, onSignal)
  try {
    await withServices(async ({ feed, clock }) => {
      const query = {
        appId: app ?? null,
        connectionId: connection ?? null,
        types: type ?? [],
        limit: PAGE_SIZE,
      }
      let last = after ?? (follow ? await feed.end() : null)
      while (isWanted()) {
        const page = await feed.list({ ...query, after: last })
        for (const event of page.events) print(json ? JSON.stringify(event) : toLine(event))
        last = page.next ?? page.events.at(-1)?.id ?? last
        if (page.next !== null) continue
        if (!follow) return
        await clock.sleep(POLL_INTERVAL_MS, stop.signal)
      }
    })
  } finally {
    for (const signal of SIGNALS) process.off(signal, onSignal)
  }
}

const SIGNALS = ['SIGINT', 'SIGTERM'] as const

/** Such as `2026-01-31T08:00:00.000Z  connection.revoked  connection_id=con_…  id=evt_…`. */
function toLine({ id, timestamp, type, data }: Message): string {
  const fields = Object.entries(data).flatMap(([name, value]) =>
    value === null ? [] : `${name}=${value}`,
  )
  return printable([timestamp, type.padEnd(WIDTH), ...fields, `id=${id}`].join('  '))
}

/** Of the longest type, `connection.needs_reconnect`. */
const WIDTH = 26
