/** Kills upgrades, client changes and key revocations at points that are visible from outside. */
import type { ChildProcess } from 'node:child_process'
import {
  copyFileSync,
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'
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
import { PROGRAM } from '../program.ts'
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
import { buildHeadless, swapOutcome } from './headless.ts'
import { size } from '../size.ts'
import { migrations } from '../db/temporary.ts'
import { temporaryFolder } from '../temporary.ts'

/** Kept copies of a store; unfinished ones end with `.part`. */
const copiesIn = (dataDir: string, ending: string) =>
  readdirSync(dataDir).filter(
    (name) => name.startsWith('broker.db.before-') && name.endsWith(ending),
  )

/** At least half of a copy of the store has been written. */
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
 * Starts a broker that first changes its store, and kills it at one of these points. At `it waits` this process
 * holds a write lock on the database, so nothing can have changed.
 */
function createKillInChange(
  t: Test,
  isChanging: (dataDir: string) => boolean,
  { flags = [], program = PROGRAM }: { flags?: string[]; program?: string } = {},
) {
  const kills = createKills(t)
  const kill = async (round: number, dataDir: string, env: Record<string, string>) => {
    const name = CHANGE_POINTS[round % CHANGE_POINTS.length] ?? 'it waits'
    const held = name === 'it waits' ? holdWrites(join(dataDir, 'broker.db')) : null
    const settings = { ...env, BROKER_PORT: '0' }
    const child = runCli(['serve', ...flags], settings, undefined, undefined, program)
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

/** Adds copies of a revoked connection, so that migrating the tables takes longer. */
function addRevoked(path: string, count: number): void {
  const client = new Database(path)
  // The mode that every broker leaves. In another mode, a start would wait before its copy.
  client.pragma('journal_mode = WAL')
  const names = client.prepare("select name from pragma_table_info('connections')").pluck().all()
  const values = names.map((name) => (name === 'id' ? "id || '-' || n" : name))
  client.exec(`insert into connections (${names.join()})
    with recursive rows(n) as (select 1 union all select n + 1 from rows where n < ${count})
    select ${values.join()} from rows cross join connections where id = 'con_3'`)
  client.close()
}

/** The program with one more migration. */
function makeNewerProgram(t: Test): string {
  const folder = t.testdir()
  cpSync(dirname(PROGRAM), folder, { recursive: true })
  const sql = join(folder, 'db/migrations/sqlite')
  const journal = join(sql, 'meta/_journal.json')
  const known = JSON.parse(readFileSync(journal, 'utf8')) as { entries: object[] }
  const later = { tag: '9999_later', when: LATER, breakpoints: true }
  writeFileSync(journal, JSON.stringify({ entries: [...known.entries, later] }))
  writeFileSync(
    join(sql, '9999_later.sql'),
    `create table later as select a.id, b.username from connections a, connections b limit 100000;
     --> statement-breakpoint
     create index later_id on later (id)`,
  )
  return join(folder, basename(PROGRAM))
}

/** When the migration of the newer program was made. */
const LATER = 9e12

/** Somebody writes to the store and has not committed all migrations. */
function isMigrating(dataDir: string): boolean {
  const path = join(dataDir, 'broker.db')
  return isWriting(path) && inspectDatabase(path, undefined).migrations.at(-1) !== LATER
}

/** Connections that the client change has already marked. */
const MARKED = "last_error like 'it was connected for another%'"

t.test('an upgrade, killed at any point, is completed by the next start', async (t) => {
  const stored = gunzipSync(readFileSync(join(import.meta.dirname, '../db/stored/0000.db.gz')))
  const program = makeNewerProgram(t)
  const { kill, check } = createKillInChange(t, isMigrating, { program })
  const found = { former: 0, changed: 0 }
  const folder = temporaryFolder(t)
  for (let round = 0; round < killRounds; round++) {
    const directory = join(folder, `${round}`)
    const path = join(directory, 'broker.db')
    mkdirSync(directory)
    writeFileSync(path, stored)
    addRevoked(path, 3000)
    addBallast(path)
    const { migrations: former } = inspectDatabase(path, undefined)
    const { name, landed } = await kill(round, directory, settingsOf(directory))
    const left = inspectDatabase(path, undefined)
    t.strictSame(left.problems, [])
    const isFormer = left.migrations.length === former.length
    if (landed) t.equal(isFormer, name !== 'it serves', name)
    found[isFormer ? 'former' : 'changed']++

    await (await serve(t, settingsOf(directory), program)).stop()
    const upgraded = inspectDatabase(path, undefined)
    const known = migrations.map(({ folderMillis }) => folderMillis)
    t.match(upgraded, { problems: [], migrations: [...known, LATER] })
    // What an upgrade kept is read by today's program, to which the newer table means nothing.
    const client = new Database(path)
    t.equal(client.prepare('select count(*) from later').pluck().get(), 100_000)
    client.prepare('delete from __drizzle_migrations where created_at = ?').run(LATER)
    client.close()
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
    t.strictSame(kept.migrations, former, 'a copy of the previous store is kept')
    t.strictSame(kept.problems, [])
    t.strictSame(copiesIn(directory, '.part'), [])
    rmSync(directory, { recursive: true })
  }
  t.comment(JSON.stringify(found))
  check()
})

t.test('a client change killed at any point is completed, or has not started', async (t) => {
  const setup = await buildHeadless(t)
  const { dataDir, env } = setup
  const first = await setup.start()
  const devices = await connectMany(first, 8)
  // More than one batch.
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
    const moved = client.prepare(`select count(*) from connections where ${MARKED}`).pluck().get()
    client.close()
    return Number(moved) > 0 && Number(moved) < count
  }
  const { kill, check } = createKillInChange(t, isBetween, { flags: ['--accept-client-change'] })
  const found = { former: 0, between: 0, changed: 0 }
  for (let round = 0; round < killRounds; round++) {
    for (const name of readdirSync(dataDir)) {
      if (name.startsWith('broker.db')) rmSync(join(dataDir, name))
    }
    copyFileSync(join(folder, 'former.db'), path)
    const { name, landed } = await kill(round, dataDir, after)

    const again = await setup.start().catch((error: Error) => error.message)
    if (name === 'it waits') t.not(typeof again, 'string', 'nothing has started')
    if (name === 'the store is changing' && landed)
      t.match(again, /was interrupted/, 'it has started')
    if (typeof again === 'string') {
      found[
        /change of the OAuth client or API .* was interrupted/.test(again) ? 'between' : 'changed'
      ]++
    } else {
      found.former++
      t.equal(await swapOutcome(again, devices[7]?.token ?? ''), 'ok', 'nothing has changed')
      await again.stop()
    }
    const config = loadConfig(after, { serve: true })
    const services = await startServices(config, silent, { claim: 'anew' })
    t.strictSame(
      await services.store.countConnections(),
      { active: 0, needs_reconnect: count, revoked: before.revoked },
      'every connection needs to reconnect',
    )
    await services.stop()
    const [copy = ''] = copiesIn(dataDir, 'Z')
    t.match(inspectDatabase(join(dataDir, copy), undefined), { problems: [], connections: count })
  }
  t.comment(JSON.stringify(found))
  check()
})

t.test(
  'a key revocation killed at any point under load is complete, or has not happened',
  async (t) => {
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
      // It has opened the store but can't write to it.
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
      const { kid } = await keys.current('EdDSA')
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
  },
)
