import { once } from 'node:events'
import { createServer } from 'node:net'
import { openCoordination } from '../../data/engine.ts'
import { ok, problem, warning } from './check.ts'
import type { Check } from './check.ts'
import { inspect } from './database-checks.ts'

/** Checks of the brokers that share the store. */
export const processChecks: Record<string, Check> = {
  'running brokers': async (config) => {
    const { host, port } = config
    if (config.database) await inspect(config)
    const coordination = await openCoordination(config)
    const processes = await coordination.listProcesses().finally(() => coordination.close())
    const brokers = processes.filter(({ command }) => command === 'serve')
    if (brokers.length > 0)
      return ok(
        brokers.map(({ pid, host }) => `process ${pid}${host ? ` on ${host}` : ''}`).join(', '),
      )
    if (await isTaken(host, port)) {
      const fix = '`ss -ltnp` shows that program. Stop it, or choose another BROKER_PORT.'
      return problem(`none is running, and another program listens on port ${port} of ${host}`, fix)
    }
    return warning(
      `none is running on ${config.database ? 'this database' : 'this data directory'}`,
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
