import { Command } from 'commander'
import { checkHealth } from '../operate/health.ts'
import { loadSettings } from './settings.ts'
import { print } from './terminal.ts'

/** `health`: is the broker on this machine ready? */
export function healthCommand(): Command {
  return new Command('health')
    .description('ask the running broker on this machine whether it is ready; for health checks')
    .action(async () => print(await checkHealth(loadSettings().config)))
}
