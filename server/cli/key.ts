import { Command } from 'commander'
import type { SigningKey } from '../../db/store.ts'
import { CommandError, formatMessage } from '../operate/messages.ts'
import { ACTOR, withServices } from './with-services.ts'
import { formatTime, print, printJson, printTable } from './terminal.ts'

/** `key`: the keys that sign broker tokens and ID tokens. */
export function keyCommand(): Command {
  const key = new Command('key').description(
    'manage the keys that sign broker tokens and ID tokens',
  )

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
    .description('sign with the next keys now (automatic every 90 days); the old keys still verify')
    .action(() =>
      withServices(async ({ keys, clock }) => {
        const { PUBLICATION_PERIOD_MS } = await import('../crypto/signing-keys.ts')
        for (const { kid, alg, createdAt } of await keys.rotate(ACTOR)) {
          const young = clock.now() - createdAt < PUBLICATION_PERIOD_MS
          const values = { kid, use: useOfKey[alg], since: formatTime(createdAt) }
          print(formatMessage(young ? 'key.rotate.recent' : 'key.rotate.done', values))
        }
      }),
    )

  key
    .command('revoke <kid>')
    // Ids of older keys may begin with a dash.
    .allowUnknownOption()
    .description('revoke a key: every token that it signed is refused')
    .action((kid: string) =>
      withServices(async ({ keys }) => {
        if (!(await keys.revoke(kid, ACTOR))) throw new CommandError('key.revoke.unknown', { kid })
        print(formatMessage('key.revoke.done', { kid }))
      }),
    )
  return key
}

/** What the keys of an algorithm sign. */
const useOfKey = { EdDSA: 'broker tokens', RS256: 'ID tokens' }

const toJson = (key: SigningKey) => ({
  kid: key.kid,
  alg: key.alg,
  status: key.status,
  created_at: formatTime(key.createdAt),
  signs_since: formatTime(key.activatedAt),
  ended_at: formatTime(key.endedAt),
  kept_until: key.endedAt === null ? null : formatTime(key.tokensUntil),
})

const toRow = (key: ReturnType<typeof toJson>) => ({
  kid: key.kid,
  signs: useOfKey[key.alg],
  status: key.status,
  created: key.created_at,
  signs_since: key.signs_since ?? '-',
  ended: key.ended_at ?? '-',
})
