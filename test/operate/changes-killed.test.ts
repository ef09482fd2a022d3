/** What changes a whole store at its start, and what changes keys, killed at random points. */
import { once } from 'node:events'
import type { ChildProcess } from 'node:child_process'
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { gunzipSync } from 'node:zlib'
import t from 'tap'
import { inspectDatabase } from '../../db/copy.ts'
import { listPresent } from '../../db/presence.ts'
import { loadConfig } from '../../server/config.ts'
import { createLog } from '../../server/log.ts'
import { startServices } from '../../server/services.ts'
import { command } from '../command.ts'
import { KNOWN, accessTokenOf, settingsOf, startThen } from '../db/stored/setting.ts'
import type { Known } from '../db/stored/setting.ts'
import { addApp, buildBroker, connect, freePort } from '../helper.ts'
import { runCli, serve } from '../processes.ts'
import { connectMany, killRounds, startLoad, swapAt } from './load.ts'
import { buildWorld, outcome } from './world.ts'
import { size } from '../size.ts'
import { temporaryFolder } from '../temporary.ts'

/** Kills it some milliseconds after the copy that is kept of the store shows up. */
async function killInChange(child: ChildProcess, dataDir: string): Promise<void> {
  const closed = once(child, 'close')
  while (child.exitCode === null && copiesIn(dataDir, '').length === 0) await sleep(1)
  await sleep(Math.random() * 250)
  child.kill('SIGKILL')
  await closed
}

/** The copies that are kept of a store; those that aren't finished end with `.part`. */
const copiesIn = (dataDir: string, ending: string) =>
  readdirSync(dataDir).filter(
    (name) => name.startsWith('broker.db.before-') && name.endsWith(ending),
  )

t.test('moving up, killed at random points, is completed by the next start', async (t) => {
  const stored = join(import.meta.dirname, '../db/stored')
  const older = readdirSync(stored)
    .filter((name) => name.endsWith('.db.gz'))
    .slice(0, -1)
  const found = { former: 0, changed: 0 }
  const folder = temporaryFolder(t)
  for (let round = 0; round < killRounds; round++) {
    const directory = join(folder, `${round}`)
    mkdirSync(directory)
    const former = gunzipSync(readFileSync(join(stored, older[round % older.length] ?? '')))
    writeFileSync(join(directory, 'broker.db'), former)
    const { migrations } = inspectDatabase(join(directory, 'broker.db'), undefined)
    const env = { ...settingsOf(directory), BROKER_PORT: String(await freePort()) }
    await killInChange(runCli(['serve'], env), directory)
    const left = inspectDatabase(join(directory, 'broker.db'), undefined)
    t.strictSame(left.problems, [])
    found[left.migrations.length === migrations.length ? 'former' : 'changed']++

    const services = await startThen(directory)
    const { tokens } = JSON.parse((await services.store.getMeta())[KNOWN] ?? '') as Known
    for (const username of ['amelie', 'Çelik']) {
      const brokerToken = tokens[username] ?? ''
      const { accessToken } = await services.swap.swap({ brokerToken, client: null, proof: null })
      t.equal(accessToken.value.reveal(), accessTokenOf(username))
    }
    await services.stop()
    const [copy = ''] = copiesIn(directory, 'Z')
    const kept = inspectDatabase(join(directory, copy), undefined)
    t.strictSame(kept.migrations, migrations, 'a copy of the former is kept')
    t.strictSame(kept.problems, [])
    t.strictSame(copiesIn(directory, '.part'), [])
  }
  t.comment(JSON.stringify(found))
})

t.test(
  'moving to another client, killed at random points, is completed or not begun',
  async (t) => {
    const place = await buildWorld(t)
    const { dataDir, env } = place
    const first = await place.start()
    // In a long run more than are changed in one go.
    const count = size(40, 1200)
    const devices = await connectMany(first, count)
    await first.stop()
    const folder = temporaryFolder(t)
    copyFileSync(join(dataDir, 'broker.db'), join(folder, 'former.db'))
    const after = { ...env, ELLIPSIS_CLIENT_ID: 'another' }
    const silent = createLog({ logLevel: 'silent' })

    const found = { former: 0, between: 0, changed: 0 }
    for (let round = 0; round < killRounds; round++) {
      for (const name of readdirSync(dataDir)) {
        if (name.startsWith('broker.db')) rmSync(join(dataDir, name))
      }
      copyFileSync(join(folder, 'former.db'), join(dataDir, 'broker.db'))
      const port = String(await freePort())
      const child = runCli(['serve', '--accept-client-change'], { ...after, BROKER_PORT: port })
      await killInChange(child, dataDir)

      const again = await place.start().catch((error: Error) => error.message)
      if (typeof again === 'string') {
        found[/was begun with .*cut off/.test(again) ? 'between' : 'changed']++
      } else {
        found.former++
        t.equal(await outcome(again, devices[7]?.token ?? ''), 'ok', 'nothing has changed')
        await again.stop()
      }
      const config = loadConfig(after, { serve: true })
      const services = await startServices(config, silent, { claim: 'anew' })
      const { rows, total } = await services.store.browseConnections({
        statuses: ['active', 'revoked'],
        appId: null,
        search: null,
        sort: 'user',
        descending: false,
        limit: 1,
        cursor: null,
      })
      t.strictSame([rows.length, total], [0, 0], 'every one is in need of reconnecting')
      await services.stop()
      const [copy = ''] = copiesIn(dataDir, 'Z')
      t.match(inspectDatabase(join(dataDir, copy), undefined), { problems: [], connections: count })
    }
    t.comment(JSON.stringify(found))
  },
)

t.test('a signing key’s end, killed at random points under load, is whole', async (t) => {
  const broker = await buildBroker(t)
  const other = await serve(t, broker.env)
  const urls = [broker.url, other.url]
  const load = startLoad(t, broker, urls, await connectMany(broker, 10), 2)
  const app = await addApp(broker)
  const { keys } = broker.services
  const found = { former: 0, changed: 0 }
  for (let round = 0; round < killRounds; round++) {
    const { brokerToken } = await connect(broker, app)
    const { kid } = await keys.current()
    const swapped = () => Promise.all(urls.map((url) => swapAt(url, brokerToken)))
    const child = runCli(['key', 'revoke', kid], broker.env)
    const closed = once(child, 'close')
    // It does its work within some milliseconds of telling the others that it is there.
    const isThere = () =>
      listPresent(broker.dataDir, undefined).some(({ pid }) => pid === child.pid)
    while (child.exitCode === null && !isThere()) await sleep(1)
    await sleep(Math.random() * 40)
    child.kill('SIGKILL')
    await closed
    const statuses = await swapped()
    t.equal(new Set(statuses).size, 1, 'the same in every process')
    found[statuses[0] === 200 ? 'former' : 'changed']++
    t.match(await command(['key', 'revoke', kid], broker.env), {
      code: statuses[0] === 200 ? 0 : 2,
    })
    t.strictSame(await swapped(), [401, 401])
    const live = (await keys.list()).map(({ status }) => status)
    t.equal(live.filter((status) => status === 'active').length, 1)
    t.match(await command(['key', 'rotate'], broker.env), { code: 0 })
  }
  t.comment(JSON.stringify(found))
  const met = Object.keys(await load.stop())
  t.ok(
    met.every((status) => status === '200' || status === '401'),
    met.join(),
  )
})
