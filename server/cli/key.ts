import { Command } from 'commander'
import type { SigningKey } from '../../db/store.ts'
import { CommandError, formatMessage } from '../operate/messages.ts'
import { ACTOR, withServices } from './with-services.ts'
import { formatTime, print, printJson, printTable } from './terminal.ts'

/** `key`: the keys that sign broker tokens. */
export function keyCommand(): Command {
  const key = new Command('key').description('manage the keys that sign broker tokens')

  key
    .command('list')
    .description('list all signing keys')
    .option('--json', 'print JSON')
    .action(({ json }: { json?: boolean }) =>
      withServices(async ({ keys }) => {
        const all = (await keys.list()).map(toJson)
        if (json) return printJson(all)
        printTable(all.map(toRow), 'No keys yet. The first start creates one.')
      }),
    )

  key
    .command('rotate')
    .description('sign with the next key now (automatic every 90 days); the old key still verifies')
    .action(() =>
      withServices(async ({ keys, clock }) => {
        const { PUBLICATION_PERIOD_MS } = await import('../crypto/signing-keys.ts')
        const { kid, publishedAt } = await keys.rotate(ACTOR)
        const young = clock.now() - publishedAt < PUBLICATION_PERIOD_MS
        const values = { kid, since: formatTime(publishedAt) }
        print(formatMessage(young ? 'key.rotate.recent' : 'key.rotate.done', values))
      }),
    )

  key
    .command('revoke <kid>')
    // Ids of older keys may begin with a dash.
    .allowUnknownOption()
    .description('revoke a key: every broker token that it signed is refused')
    .action((kid: string) =>
      withServices(async ({ keys }) => {
        if (!(await keys.revoke(kid, ACTOR))) throw new CommandError('key.revoke.unknown', { kid })
        print(formatMessage('key.revoke.done', { kid }))
      }),
    )
  return key
}

const toJson = (key: SigningKey) => ({
  kid: key.kid,
  status: key.status,
  created_at: formatTime(key.createdAt),
  signs_since: formatTime(key.activatedAt),
  ended_at: formatTime(key.endedAt),
  kept_until: key.endedAt === null ? null : formatTime(key.tokensUntil),
})

const toRow = (key: ReturnType<typeof toJson>) => ({
  kid: key.kid,
  status: key.status,
  created: key.created_at,
  signs_since: key.signs_since ?? '-',
  ended: key.ended_at ?? '-',
})
