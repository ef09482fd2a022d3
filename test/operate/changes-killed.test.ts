/** What changes a whole store at its start, and what changes keys, killed at points that are seen from outside. */
import type { ChildProcess } from 'node:child_process'
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import Database from 'better-sqlite3'
import t from 'tap'
import type { Test } from 'tap'
import { fill } from '../../bench/scale/fill.ts'
import { inspectDatabase } from '../../db/data-directory/copy.ts'
import { listProcesses } from '../../db/data-directory/presence.ts'
import { loadConfig } from '../../server/config/config.ts'
import { createLog } from '../../server/log.ts'
import { startServices } from '../../server/services.ts'
import { command } from '../command.ts'
import { KNOWN, accessTokenOf, settingsOf, startThen } from '../db/stored/setting.ts'
import { migrations } from '../db/temporary.ts'
import type { Known } from '../db/stored/setting.ts'
import { addApp, buildBroker, connect } from '../helper.ts'
import {
  addBallast,
  createKills,
  holdWrites,
  isWriting,
  killRounds,
  outputOf,
  sizeOf,
} from '../kill.ts'
import { runCli, serve } from '../processes.ts'
import { connectMany, startLoad, swapAt } from './load.ts'
import { buildHeadless, outcome } from './headless.ts'
import { size } from '../size.ts'
import { temporaryFolder } from '../temporary.ts'

/** The copies that are kept of a store; those that aren't finished end with `.part`. */
const copiesIn = (dataDir: string, ending: string) =>
  readdirSync(dataDir).filter(
    (name) => name.startsWith('broker.db.before-') && name.endsWith(ending),
  )

/** A copy of the store is being made, half of it at least. */
const isCopying = (dataDir: string): boolean =>
  copiesIn(dataDir, '.part').some(
    (name) => sizeOf(join(dataDir, name)) > sizeOf(join(dataDir, 'broker.db')) / 2,
  )

const isCopied = (dataDir: string): boolean => copiesIn(dataDir, 'Z').length > 0

const CHANGE_POINTS = [
  'it waits',
  'the store is changing',
  'a copy is being made',
  'it serves',
] as const

/**
 * Starts a broker that changes its store first, and kills it at one of these points. At `it waits` this process
 * holds the database, and so nothing can have changed.
 */
function createKillInChange(
  t: Test,
  isChanging: (dataDir: string) => boolean,
  flags: string[] = [],
) {
  const kills = createKills(t)
  const kill = async (round: number, dataDir: string, env: Record<string, string>) => {
    const name = CHANGE_POINTS[round % CHANGE_POINTS.length] ?? 'it waits'
    const held = name === 'it waits' ? holdWrites(join(dataDir, 'broker.db')) : null
    const child = runCli(['serve', ...flags], { ...env, BROKER_PORT: '0' })
    const output = outputOf(child)
    const isServing = () => output().includes('"listening"')
    const reached = {
      'it waits': () => isCopied(dataDir),
      'the store is changing': () => isCopied(dataDir) && isChanging(dataDir),
      'a copy is being made': () => isCopying(dataDir),
      'it serves': isServing,
    }[name]
    const passed = () => name !== 'it serves' && isServing()
    const point = { name, reached, holds: name === 'it serves' ? () => true : reached, passed }
    const landed = await kills.at(child, { ...point, laterByMs: held ? 20 : 0 })
    held?.release()
    return { name, landed }
  }
  return { kill, check: kills.check }
}

/** Copies of a connection that was revoked: the tables take longer to change. */
function addRevoked(path: string, count: number): void {
  const client = new Database(path)
  // As any broker leaves it; in another mode a start would have to wait even before its copy.
  client.pragma('journal_mode = WAL')
  const names = client.prepare("select name from pragma_table_info('connections')").pluck().all()
  const values = names.map((name) => (name === 'id' ? "id || '-' || n" : name))
  client.exec(`insert into connections (${names.join()})
    with recursive rows(n) as (select 1 union all select n + 1 from rows where n < ${count})
    select ${values.join()} from rows cross join connections where id = 'con_3'`)
  client.close()
}

/** Somebody changes the store, and hasn't had all migrations committed. */
function isMigrating(dataDir: string): boolean {
  const path = join(dataDir, 'broker.db')
  if (!isWriting(path)) return false
  const client = new Database(path, { readonly: true })
  const applied = client.prepare('select count(*) from __drizzle_migrations').pluck().get()
  client.close()
  return Number(applied) < migrations.length
}

/** Connections that the change of the client has come to. */
const MOVED = "last_error like 'it was connected for another%'"

t.test('moving up, killed at any point, is completed by the next start', async (t) => {
  const stored = join(import.meta.dirname, '../db/stored')
  const older = readdirSync(stored)
    .filter((name) => name.endsWith('.db.gz'))
    .slice(0, -1)
  const { kill, check } = createKillInChange(t, isMigrating)
  const found = { former: 0, changed: 0 }
  const folder = temporaryFolder(t)
  for (let round = 0; round < killRounds; round++) {
    const directory = join(folder, `${round}`)
    mkdirSync(directory)
    const bytes = gunzipSync(readFileSync(join(stored, older[round % older.length] ?? '')))
    writeFileSync(join(directory, 'broker.db'), bytes)
    addRevoked(join(directory, 'broker.db'), 3000)
    addBallast(join(directory, 'broker.db'))
    const { migrations: former } = inspectDatabase(join(directory, 'broker.db'), undefined)
    const { name, landed } = await kill(round, directory, settingsOf(directory))
    const left = inspectDatabase(join(directory, 'broker.db'), undefined)
    t.strictSame(left.problems, [])
    const isFormer = left.migrations.length === former.length
    if (landed) t.equal(isFormer, name !== 'it serves', name)
    found[isFormer ? 'former' : 'changed']++

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
    t.strictSame(kept.migrations, former, 'a copy of the former is kept')
    t.strictSame(kept.problems, [])
    t.strictSame(copiesIn(directory, '.part'), [])
    rmSync(directory, { recursive: true })
  }
  t.comment(JSON.stringify(found))
  check()
})

t.test('moving to another client, killed at any point, is completed or not begun', async (t) => {
  const place = await buildHeadless(t)
  const { dataDir, env } = place
  const first = await place.start()
  const devices = await connectMany(first, 8)
  // More than are changed in one go.
  await fill(first.services, size(900, 1800))
  const before = await first.services.store.countConnections()
  await first.stop()
  const path = join(dataDir, 'broker.db')
  addBallast(path)
  const { connections: count } = inspectDatabase(path, undefined)
  const folder = temporaryFolder(t)
  copyFileSync(path, join(folder, 'former.db'))
  const after = { ...env, ELLIPSIS_CLIENT_ID: 'another' }
  const silent = createLog({ logLevel: 'silent' })

  const isBetween = (): boolean => {
    const client = new Database(path, { readonly: true })
    const moved = client.prepare(`select count(*) from connections where ${MOVED}`).pluck().get()
    client.close()
    return Number(moved) > 0 && Number(moved) < count
  }
  const { kill, check } = createKillInChange(t, isBetween, ['--accept-client-change'])
  const found = { former: 0, between: 0, changed: 0 }
  for (let round = 0; round < killRounds; round++) {
    for (const name of readdirSync(dataDir)) {
      if (name.startsWith('broker.db')) rmSync(join(dataDir, name))
    }
    copyFileSync(join(folder, 'former.db'), path)
    const { name, landed } = await kill(round, dataDir, after)

    const again = await place.start().catch((error: Error) => error.message)
    if (name === 'it waits') t.not(typeof again, 'string', 'nothing was begun')
    if (name === 'the store is changing' && landed) t.match(again, /cut off/, 'it was begun')
    if (typeof again === 'string') {
      found[/was begun with .*cut off/.test(again) ? 'between' : 'changed']++
    } else {
      found.former++
      t.equal(await outcome(again, devices[7]?.token ?? ''), 'ok', 'nothing has changed')
      await again.stop()
    }
    const config = loadConfig(after, { serve: true })
    const services = await startServices(config, silent, { claim: 'anew' })
    t.strictSame(
      await services.store.countConnections(),
      { active: 0, needs_reconnect: count, revoked: before.revoked },
      'every one is in need of reconnecting',
    )
    await services.stop()
    const [copy = ''] = copiesIn(dataDir, 'Z')
    t.match(inspectDatabase(join(dataDir, copy), undefined), { problems: [], connections: count })
  }
  t.comment(JSON.stringify(found))
  check()
})

t.test('a signing key’s end, killed at any point under load, is whole', async (t) => {
  const broker = await buildBroker(t)
  const other = await serve(t, broker.env)
  const urls = [broker.url, other.url]
  const load = startLoad(t, broker, urls, await connectMany(broker, 10), 2)
  const app = await addApp(broker)
  const { keys } = broker.services
  const kills = createKills(t)
  let held: ReturnType<typeof holdWrites> | null = null
  const release = () => {
    held?.release()
    held = null
  }
  t.teardown(release)
  const isThere = ({ pid }: ChildProcess) =>
    listProcesses(broker.dataDir, undefined).some((present) => present.pid === pid)
  const pointsOf = (child: ChildProcess, kid: string) => ({
    // It has opened the store, and can't change it.
    before: {
      name: 'before',
      reached() {
        if (!held && isWriting(join(broker.dataDir, 'start.lock'))) {
          held = holdWrites(join(broker.dataDir, 'broker.db'))
        }
        return held !== null && isThere(child)
      },
      laterByMs: 10,
    },
    'at its work': { name: 'at its work', reached: () => isThere(child), laterByMs: 20 },
    after: {
      name: 'after',
      async reached() {
        const all = await keys.list()
        return all.some((key) => key.kid === kid && key.status === 'revoked')
      },
    },
  })
  const names = ['before', 'after', 'at its work'] as const
  const found = { former: 0, changed: 0 }
  for (let round = 0; round < killRounds; round++) {
    const { brokerToken } = await connect(broker, app)
    const { kid } = await keys.current()
    const swapped = () => Promise.all(urls.map((url) => swapAt(url, brokerToken)))
    const name = names[round % names.length] ?? 'before'
    const child = runCli(['key', 'revoke', kid], broker.env)
    const point = pointsOf(child, kid)[name]
    const landed = await kills.at(child, point)
    release()
    const statuses = await swapped()
    t.equal(new Set(statuses).size, 1, 'the same in every process')
    const isFormer = statuses[0] === 200
    if (landed && name !== 'at its work') t.equal(isFormer, name === 'before', name)
    found[isFormer ? 'former' : 'changed']++
    t.match(await command(['key', 'revoke', kid], broker.env), {
      code: isFormer ? 0 : 2,
    })
    t.strictSame(await swapped(), [401, 401])
    const live = (await keys.list()).map(({ status }) => status)
    t.equal(live.filter((status) => status === 'active').length, 1)
    t.match(await command(['key', 'rotate'], broker.env), { code: 0 })
  }
  t.comment(JSON.stringify(found))
  kills.check()
  const met = Object.keys(await load.stop())
  t.ok(
    met.every((status) => status === '200' || status === '401'),
    met.join(),
  )
})
