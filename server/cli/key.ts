import { Command } from 'commander'
import type { SigningKey } from '../../db/store.ts'
import { PUBLICATION_PERIOD_MS } from '../crypto/signing-keys.ts'
import { CommandError, formatMessage } from '../operate/messages.ts'
import { ACTOR, withServices } from './with-services.ts'
import { print, printJson, printTable, time } from './output.ts'

/** `key`: the keys that sign broker tokens. */
export function keyCommand(): Command {
  const key = new Command('key').description('the keys that sign broker tokens')

  key
    .command('list')
    .description('all signing keys')
    .option('--json', 'as JSON')
    .action(({ json }: { json?: boolean }) =>
      withServices(async ({ keys }) => {
        const all = (await keys.list()).map(describe)
        if (json) return printJson(all)
        printTable(all.map(row), 'No key yet: the first start makes one.')
      }),
    )

  key
    .command('rotate')
    .description(
      'sign with the next key now, rather than after 90 days; the old one goes on verifying',
    )
    .action(() =>
      withServices(
        async ({ keys, clock }) => {
          const { kid, publishedAt } = await keys.rotate(ACTOR)
          const young = clock.now() - publishedAt < PUBLICATION_PERIOD_MS
          const values = { kid, since: time(publishedAt) }
          print(formatMessage(young ? 'key.rotate.recent' : 'key.rotate.done', values))
        },
        { existing: true },
      ),
    )

  key
    .command('revoke <kid>')
    // Ids of older keys may begin with a dash.
    .allowUnknownOption()
    .description('end a key at once: every broker token it signed is refused')
    .action((kid: string) =>
      withServices(
        async ({ keys }) => {
          if (!(await keys.revoke(kid, ACTOR)))
            throw new CommandError('key.revoke.unknown', { kid })
          print(formatMessage('key.revoke.done', { kid }))
        },
        { existing: true },
      ),
    )
  return key
}

const describe = (key: SigningKey) => ({
  kid: key.kid,
  status: key.status,
  created_at: time(key.createdAt),
  signs_since: time(key.activatedAt),
  ended_at: time(key.endedAt),
  kept_until: key.endedAt === null ? null : time(key.tokensUntil),
})

const row = (key: ReturnType<typeof describe>) => ({
  kid: key.kid,
  status: key.status,
  created: key.created_at,
  signs_since: key.signs_since ?? '-',
  ended: key.ended_at ?? '-',
})
