import { Command } from 'commander'
import { loadSettings } from './settings.ts'
import { print } from './terminal.ts'

/** `health`: is the broker on this machine ready? */
export function healthCommand(): Command {
  return new Command('health')
    .description('ask the running broker on this machine whether it is ready; for health checks')
    .action(async () => {
      const { checkHealth } = await import('../operate/health.ts')
      print(await checkHealth(loadSettings().config))
    })
}
