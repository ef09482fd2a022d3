import { execFileSync } from 'node:child_process'
import { closeSync, constants, openSync, readSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import Database from 'better-sqlite3'
import t from 'tap'
import { createEngine } from '../../../db/sqlite/engine.ts'
import { size } from '../../size.ts'
import { forkChild } from '../children.ts'
import { connect, newApp, newGrant, newSigningKey, NOW } from '../rows.ts'
import { openTemporary } from '../temporary.ts'

const REVOCATIONS = size(200, 5000)

t.test('reads of one turn share a transaction, and see what was committed before', async (t) => {
  const { directory } = await openTemporary(t)
  const [client, other] = [1, 2].map(() => new Database(join(directory, 'broker.db')))
  t.teardown(() => [client, other].forEach((database) => database?.close()))
  if (!client || !other) return
  const { readTogether } = createEngine(client)
  const read = () => client.prepare('select value from meta').pluck().all()
  const results = [1, 2].map(() => readTogether(() => [client.inTransaction, read()]))
  other.exec("insert into meta values ('a', '1')")
  t.strictSame(await Promise.all(results), [
    [true, ['1']],
    [true, ['1']],
  ])
  t.strictSame(await readTogether(() => client.inTransaction), false, 'one needs no transaction')
  t.notOk(client.inTransaction, 'no snapshot outlives the turn')
})

t.test('the version changes with each commit of any process, and only then', async (t) => {
  const { directory } = await openTemporary(t)
  const [client, other] = [1, 2].map(() => new Database(join(directory, 'broker.db')))
  t.teardown(() => [client, other].forEach((database) => database?.close()))
  if (!client || !other) return
  const { readTogether, write } = createEngine(client)
  const add = (key: string) => `insert into meta values ('${key}', '1')`
  const remove = 'delete from meta'
  const changes: [string, boolean, () => unknown][] = [
    ['nothing', false, () => undefined],
    ['a commit of another process', true, () => other.exec(add('a'))],
    ['a rollback of another process', false, () => other.exec(`begin; ${add('b')}; rollback`)],
    ['an own commit', true, () => write(() => client.exec(add('c')))],
    ['a checkpoint', false, () => other.pragma('wal_checkpoint(PASSIVE)')],
    ['an own commit beside the engine', true, () => client.exec(remove)],
  ]
  for (const reads of [1, 2]) {
    const readVersion = async () => {
      const turn = Array.from({ length: reads }, () => readTogether((version) => version))
      const versions = new Set(await Promise.all(turn))
      t.equal(versions.size, 1)
      return [...versions][0]
    }
    for (const [name, isChange, change] of changes) {
      const before = await readVersion()
      await change()
      t.equal((await readVersion()) !== before, isChange, `${name}, reads of a turn: ${reads}`)
    }
  }
})

t.test('a read that fails fails alone', async (t) => {
  const { directory } = await openTemporary(t)
  const client = new Database(join(directory, 'broker.db'))
  t.teardown(() => client.close())
  const { readTogether } = createEngine(client)
  const fail = () => {
    throw new Error('broken')
  }
  const failed = readTogether(fail)
  t.equal(await readTogether(() => 1), 1)
  await t.rejects(failed, { message: 'broken' })
  const [first, second] = [readTogether(() => 1), readTogether(() => 2)]
  client.close()
  await t.rejects(first, { message: /not open/ })
  await t.rejects(second, { message: /not open/ })
})

t.test('a revocation of another process holds right after its commit', async (t) => {
  const { store, directory } = await openTemporary(t)
  await store.replaceSigningKeys([], [newSigningKey('kid')], [])
  await store.addApp(newApp('app'), [])
  await connect(store)
  for (let index = 0; index < REVOCATIONS; index++)
    await store.addGrant(newGrant(`grant ${index}`), { source: null, now: NOW, events: [] })
  const pipe = join(directory, 'revoked')
  execFileSync('mkfifo', [pipe])
  const fd = openSync(pipe, constants.O_RDONLY | constants.O_NONBLOCK)
  t.teardown(() => closeSync(fd))
  const stateOf = (index: number) => store.getSwapState({ grantId: `grant ${index}`, kid: 'kid' })
  // All states are in memory before the first is revoked.
  await Promise.all(Array.from({ length: REVOCATIONS }, (_, index) => stateOf(index)))
  const child = forkChild('revoke-grants', directory)
  const isRunning = () => child.exitCode === null && child.signalCode === null
  let revoked = 0
  let late = 0
  while (revoked < REVOCATIONS) {
    const wasRunning = isRunning()
    const turn: Promise<unknown>[] = []
    // This turn has asked for other reads before it learns of the commits.
    for (let index = 0; index < 20; index++) turn.push(stateOf(REVOCATIONS - 1))
    const until = revoked + readAvailable(fd)
    if (!wasRunning && until === revoked) break
    for (; revoked < until; revoked++) {
      const check = async (state: ReturnType<typeof stateOf>): Promise<void> => {
        if ((await state)?.grant.revokedAt === null) late++
      }
      turn.push(check(stateOf(revoked)))
    }
    await Promise.all(turn)
    await setImmediate()
  }
  t.equal(revoked, REVOCATIONS)
  t.equal(late, 0)
})

/** How many bytes the pipe has. */
function readAvailable(fd: number): number {
  try {
    return readSync(fd, Buffer.alloc(REVOCATIONS))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return 0
    throw error
  }
}
