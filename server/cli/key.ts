import { Command } from 'commander'
import type { SigningKey } from '../../db/store.ts'
import { ACTOR, withServices } from './data.ts'
import { UsageError, print, printJson, printTable, time } from './output.ts'

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
    .description('sign with a new key; the old one goes on verifying')
    .action(() =>
      withServices(async ({ keys }) => {
        print(`Key ${await keys.rotate(ACTOR)} signs from now on.`)
      }),
    )

  key
    .command('revoke <kid>')
    .description('end a key at once: every broker token it signed is refused')
    .action((kid: string) =>
      withServices(async ({ keys }) => {
        if (!(await keys.revoke(kid, ACTOR))) throw new UsageError(`There is no live key ${kid}.`)
        print(
          `Revoked ${kid}. Broker tokens that it signed are refused from now on; their users connect again.`,
        )
      }),
    )
  return key
}

const describe = (key: SigningKey) => ({
  kid: key.kid,
  status: key.status,
  created_at: time(key.createdAt),
  ended_at: time(key.endedAt),
})

const row = (key: ReturnType<typeof describe>): Record<string, string> => ({
  kid: key.kid,
  status: key.status,
  created: key.created_at ?? '',
  ended: key.ended_at ?? '-',
})
