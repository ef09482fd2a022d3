/**
 * `node test/chaos/postgres/asynchronous.ts [--rounds 10]`: counts the commits that a failover loses if the standby is
 * asynchronous. The primary is killed while eight connections commit; first with a standby that keeps up, then with one
 * that was cut off for a second.
 */
import { chmodSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { Client } from 'pg'
import { makeFolder } from '../../temporary.ts'
import { createBridge, enterOwnNetwork, Host } from './hosts.ts'
import { Pair, Server } from './pair.ts'

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '10' } } })
const WRITERS = 8
const CUT_MS = 1000

await enterOwnNetwork()
createBridge('10.77.0.1')
const folder = makeFolder()
chmodSync(folder, 0o711)

const createServer = async (name: string, address: string, settings: Record<string, string>) =>
  new Server(await Host.create(address), join(folder, name), {
    log: join(folder, `${name}.log`),
    settings,
  })

/** Commits one row after the other until the server dies. Returns those that were acknowledged. */
async function write(url: string, writer: number): Promise<string[]> {
  const client = new Client(url)
  client.on('error', () => undefined)
  const acknowledged: string[] = []
  try {
    await client.connect()
    for (let n = 0; ; n++) {
      const id = `${writer}-${n}`
      await client.query('insert into commits values ($1)', [id])
      acknowledged.push(id)
    }
  } catch {
    return acknowledged
  }
}

for (const standbyNames of ['', '*']) {
  const settings = { synchronous_standby_names: standbyNames }
  const last = standbyNames === '' ? 3 : 5
  const pair = await Pair.start(
    await createServer(`a${last}`, `10.77.0.${20 + last}`, settings),
    await createServer(`b${last}`, `10.77.0.${30 + last}`, settings),
  )
  for (const isCut of [false, true]) {
    const lost: number[] = []
    let commits = 0
    for (let round = 0; round < Number(values.rounds); round++) {
      const { primary, standby } = pair
      await primary.ask('drop table if exists commits')
      await primary.ask('create table commits (id text primary key)')
      const url = primary.url('postgres')
      const writing = Array.from({ length: WRITERS }, (_, writer) => write(url, writer))
      await sleep(300 + Math.random() * 300)
      if (isCut) {
        primary.host.cutFrom(standby.host)
        await sleep(CUT_MS)
      }
      await primary.host.powerOff()
      const acknowledged = (await Promise.all(writing)).flat()
      if (isCut) primary.host.joinTo(standby.host)
      await pair.failOver()
      const rows = (await pair.primary.ask('select id from commits')) as { id: string }[]
      const kept = new Set(rows.map(({ id }) => id))
      commits += acknowledged.length
      lost.push(acknowledged.filter((id) => !kept.has(id)).length)
    }
    const kind = standbyNames === '' ? 'asynchronous' : 'synchronous'
    const state = isCut ? `cut off for ${CUT_MS} ms` : 'keeping up'
    process.stdout.write(
      `${kind} standby, ${state}: ${lost.reduce((sum, one) => sum + one, 0)} of ${commits} acknowledged commits lost in ${lost.length} failovers (${lost.join(', ')})\n`,
    )
  }
}
process.exit(0)
