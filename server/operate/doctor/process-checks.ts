import { once } from 'node:events'
import { createServer } from 'node:net'
import { listProcesses } from '../../../db/data-directory/presence.ts'
import { sqliteBinding } from '../../assets.ts'
import { ok, problem, warning } from './check.ts'
import type { Check } from './check.ts'

/** Checks of the brokers on the data directory. */
export const processChecks: Record<string, Check> = {
  'running brokers': async ({ dataDir, nativeDir, host, port }) => {
    const brokers = listProcesses(dataDir, sqliteBinding({ dataDir, nativeDir })).filter(
      ({ command }) => command === 'serve',
    )
    if (brokers.length > 0) return ok(brokers.map(({ pid }) => `process ${pid}`).join(', '))
    if (await isTaken(host, port)) {
      const fix = '`ss -ltnp` shows that program. Stop it, or choose another BROKER_PORT.'
      return problem(`none is running, and another program listens on port ${port} of ${host}`, fix)
    }
    return warning(
      'none is running on this data directory',
      'Start `serve`, and run `doctor` again while it runs.',
    )
  },
}

/** Does a program listen on this port? */
async function isTaken(host: string, port: number): Promise<boolean> {
  const server = createServer()
  const taken = await once(server.listen(port, host), 'listening').then(
    () => false,
    (error: NodeJS.ErrnoException) => error.code === 'EADDRINUSE',
  )
  server.close()
  return taken
}
