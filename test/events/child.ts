/**
 * A process that writes events of connections and delivers them: `child.ts POINT COUNT CONNECTION…`. It kills itself
 * when it has reached the named point that many times. It sends what is committed to its parent.
 */
import { openData } from '../../server/data/open-data.ts'
import { loadConfig, readEnvironment } from '../../server/config/config.ts'
import { createLog } from '../../server/log.ts'
import { runtime } from '../../server/runtime.ts'
import { compose } from '../../server/services.ts'
import type { Store } from '../../db/store.ts'
import type { KillPoint } from './kills.ts'

const [killPoint = '', count = '', ...connections] = process.argv.slice(2)
let remaining = Number(count)

function reach(point: KillPoint): void {
  if (point === killPoint && --remaining === 0) process.kill(process.pid, 'SIGKILL')
}

/** The store with a point before and after the methods of a delivery. */
function withPoints(store: Store): Store {
  const wrap =
    <A extends unknown[], R>(name: string, method: (...args: A) => Promise<R>) =>
    async (...args: A): Promise<R> => {
      reach(`before ${name}` as KillPoint)
      const result = await method(...args)
      reach(`after ${name}` as KillPoint)
      return result
    }
  return {
    ...store,
    addEvents: wrap('the event', store.addEvents),
    takeOutbox: wrap('the lease', store.takeOutbox),
    fillOutbox: wrap('the deliveries', store.fillOutbox),
    getPublicEvent: wrap('the attempt', store.getPublicEvent),
    recordAttempt: wrap('the record', store.recordAttempt),
  }
}

process.on('disconnect', () => process.exit(0))
const config = loadConfig(readEnvironment(), { serve: true })
const log = createLog(config, { write: () => true })
const data = await openData(config, runtime, { claim: 'same' })
const { dispatcher, store } = compose(config, log, { ...data, store: withPoints(data.store) })
dispatcher.start()
process.send?.('ready')
for (let round = 0; killPoint !== 'none'; round++) {
  for (const connectionId of connections) {
    const event = { at: Date.now(), actor: 'system', connectionId }
    const action = round % 2 === 0 ? 'connection.needs_reconnect' : 'connection.recovered'
    await store.addEvents([{ ...event, action }])
    process.send?.({ committed: connectionId })
  }
  await runtime.clock.sleep(50)
}
