import { Command } from 'commander'
import { checkSealed } from '../crypto/reseal.ts'
import { CommandError, formatMessage } from '../operate/messages.ts'
import { withServices } from './with-services.ts'
import { print, printJson, printNotice } from './terminal.ts'

const PROGRESS_INTERVAL_MS = 2000

/** `secret`: encryption at rest. */
export function secretCommand(): Command {
  const secret = new Command('secret').description('manage the encryption of stored data')

  secret
    .command('check')
    .description('decrypt every stored secret, to verify the encryption keys')
    .option('--json', 'print JSON')
    .action(({ json }: { json?: boolean }) => withServices((services) => check(services, json)))

  secret
    .command('rotate')
    .description('re-encrypt everything with a new key while brokers run; safe to repeat')
    .action(() =>
      withServices(async (services) => {
        const { rotateSecrets } = await import('../operate/rotate-secrets.ts')
        print(await rotateSecrets(services, printNotice))
      }),
    )
  return secret
}

async function check(services: Parameters<typeof checkSealed>[0], json?: boolean): Promise<void> {
  const { limitRate } = await import('../operate/rotate-secrets.ts')
  const throttleProgress = limitRate(() => performance.now(), PROGRESS_INTERVAL_MS)
  const { values, byKey, failed, places } = await checkSealed(services, (count) =>
    throttleProgress(() => printNotice(`Decrypted ${count.toLocaleString('en')} values …`)),
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
