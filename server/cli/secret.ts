import { Command } from 'commander'
import { checkSealed } from '../crypto/reseal.ts'
import { CommandError, formatMessage } from '../operate/messages.ts'
import { limitRate, rotateSecrets } from '../operate/rotate-secrets.ts'
import { withServices } from './with-services.ts'
import { note, print, printJson } from './output.ts'

/** `secret`: encryption at rest. */
export function secretCommand(): Command {
  const secret = new Command('secret').description('the encryption of what is stored')

  secret
    .command('check')
    .description('open every sealed value of every table')
    .option('--json', 'as JSON')
    .action(({ json }: { json?: boolean }) =>
      withServices((services) => check(services, json), { existing: true }),
    )

  secret
    .command('rotate')
    .description('seal everything with another key, while brokers serve; can be run again')
    .action(() =>
      withServices(async (services) => print(await rotateSecrets(services, note)), {
        existing: true,
      }),
    )
  return secret
}

async function check(services: Parameters<typeof checkSealed>[0], json?: boolean): Promise<void> {
  const now = () => performance.now()
  const everyTwoSeconds = limitRate(now, 2000)
  const { values, byKey, failed, places } = await checkSealed(services, (count) =>
    everyTwoSeconds(() => note(`Opened ${count.toLocaleString('en')} values …`)),
  )
  if (json) printJson({ values, failed, by_key: byKey, places })
  if (failed > 0)
    throw new CommandError('secret.check.failed', { values, failed, places: places.join(', ') })
  if (json) return
  const keys = Object.entries(byKey).map(
    ([key, count]) => `${count.toLocaleString('en')} with ${key}`,
  )
  print(formatMessage('secret.check.ok', { values, keys: keys.join(', ') }))
}
