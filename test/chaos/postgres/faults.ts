import { setTimeout as sleep } from 'node:timers/promises'
import { harmless, kill, killNow, losing, pauseBroker, repeatFaults } from '../faults.ts'
import type { Inject } from '../faults.ts'
import type { SeededRandom } from '../random.ts'
import { clockEnvironment } from './clock.ts'
import type { PostgresEnvironment } from './environment.ts'
import type { Pair } from './pair.ts'

type PostgresInject = Inject<PostgresEnvironment>

const HOUR_MS = 3_600_000

/** A fault of the servers. Ends when commits wait for a standby again. */
const servers =
  (name: string, inject: (pair: Pair, random: SeededRandom) => Promise<void>): PostgresInject =>
  async ({ pair }, random) => {
    await inject(pair, random)
    await pair.primary.standbyInSync()
    // Otherwise nothing would be refreshed that the next fault could hit.
    await sleep(random.between(1000, 4000))
    return name
  }

const serverFaults = {
  'primary killed and restarted': ({ primary }: Pair) => primary.crash(),
  'primary killed, failover': (pair: Pair) => pair.failOver(),
  'primary stopped, failover': async (pair: Pair) => {
    await pair.primary.stop()
    await pair.failOver()
  },
  'primary cut off, failover': async (pair: Pair, random: SeededRandom) => {
    const { host } = pair.primary
    host.unplug()
    await sleep(random.between(200, 4000))
    await host.powerOff()
    host.plugIn()
    await pair.failOver()
  },
  'primary paused, failover': async (pair: Pair, random: SeededRandom) => {
    pair.primary.host.signal('SIGSTOP')
    await sleep(random.between(200, 4000))
    await pair.failOver()
  },
  'primary cut off': async ({ primary: { host } }: Pair, random: SeededRandom) => {
    host.unplug()
    await sleep(random.between(500, 10_000))
    host.plugIn()
  },
  'primary paused': async ({ primary: { host } }: Pair, random: SeededRandom) => {
    host.signal('SIGSTOP')
    await sleep(random.between(500, 10_000))
    host.signal('SIGCONT')
  },
  'primary cut off from its standby': async ({ primary, standby }: Pair, random: SeededRandom) => {
    primary.host.cutFrom(standby.host)
    await sleep(random.between(500, 8000))
    primary.host.joinTo(standby.host)
  },
  'standby killed and restarted': ({ standby }: Pair) => standby.crash(),
  'standby paused': async ({ standby: { host } }: Pair, random: SeededRandom) => {
    host.signal('SIGSTOP')
    await sleep(random.between(500, 8000))
    host.signal('SIGCONT')
  },
  'connections terminated': async ({ primary }: Pair) => {
    await primary.ask(
      `select pg_terminate_backend(pid) from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()`,
    )
  },
}

const cutFromPrimary: PostgresInject = async ({ hosts, pair }, random) => {
  const [host, other] = [random.pick(hosts), pair.primary.host]
  host.cutFrom(other)
  await sleep(random.between(500, 10_000))
  host.joinTo(other)
  return 'broker cut off from the primary'
}

const unplugBroker: PostgresInject = async ({ hosts }, random) => {
  const host = random.pick(hosts)
  host.unplug()
  await sleep(random.between(500, 8000))
  host.plugIn()
  return 'broker cut off from everything'
}

const pauseShortly: PostgresInject = async ({ hosts }, random) => {
  const host = random.pick(hosts)
  host.signal('SIGSTOP')
  await sleep(random.between(500, 8000))
  host.signal('SIGCONT')
  return 'broker paused'
}

const changeClock: PostgresInject = async ({ brokers }, random) => {
  const broker = random.pick(brokers)
  const offsetMs = random.pick([-26, -5, -0.05, 0, 0.05, 5, 26]) * HOUR_MS
  // A start can't go back to the true time by leaving variables out.
  Object.assign(broker.env, clockEnvironment(offsetMs || 1))
  await killNow(broker)
  return 'broker killed, its clock changed'
}

/** Faults during which brokers cannot retry a refresh. */
export const BLOCKING_FAULTS = [
  ...Object.keys(serverFaults),
  ...['broker cut off from the primary', 'broker cut off from everything', 'broker paused'],
  'paused for longer than a lease',
]

/** Injects faults until the signal: one of the servers, one of the network or of brokers, and one of upstream at a time. */
export function injectFaults(
  environment: PostgresEnvironment,
  random: SeededRandom,
  signal: AbortSignal,
): Promise<Record<string, number>> {
  const names = Object.keys(serverFaults) as (keyof typeof serverFaults)[]
  const ofServers = (): PostgresInject => {
    const name = random.pick(names)
    return servers(name, serverFaults[name])
  }
  const ofUpstream = () => random.pick(random.next() < 0.2 ? losing : harmless)
  const ofBrokers = (): PostgresInject => {
    const roll = random.next()
    if (roll < 0.6) return kill(random)
    if (roll < 0.65) return pauseBroker
    return random.pick([cutFromPrimary, unplugBroker, pauseShortly, changeClock])
  }
  const loops = environment.spareBrokers
    ? [ofServers, () => cutFromPrimary]
    : [ofServers, ofBrokers, ofUpstream]
  return repeatFaults(environment, random, signal, loops)
}
