import { Command } from 'commander'
import { loadConfig, readEnvironment } from '../config/config.ts'
import { checkHealth } from '../operate/health.ts'
import { print } from './terminal.ts'

/** `health`: is the broker on this machine ready? */
export function healthCommand(): Command {
  return new Command('health')
    .description('ask the running broker on this machine whether it is ready; for health checks')
    .action(async () => print(await checkHealth(loadConfig(readEnvironment()))))
}
