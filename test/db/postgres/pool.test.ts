import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import type { Test } from 'tap'
import { StoreUnavailableError } from '../../../db/errors.ts'
import { createClientClass } from '../../../db/postgres/connection.ts'
import { createPool } from '../../../db/postgres/pool.ts'
import type { Execute } from '../../../db/postgres/replay.ts'
import { freePort } from '../../free-port.ts'
import { createDatabase, noPostgres, query } from '../../postgres.ts'
import { startProxy } from './proxy.ts'
import { collide, fail, statement } from './statements.ts'

const TABLES = `create table writers ();
  create table counters (id text primary key, n bigint not null);
  insert into counters values ('a', 0), ('b', 0)`

const openPool = (t: Test, connectionString: string) => {
  const pool = createPool(createClientClass([connectionString]))
  t.teardown(() => pool.close().catch(() => undefined))
  return pool
}

/** A pool on a database of its own, with a counter. */
async function open(t: Test) {
  const url = await createDatabase(t)
  await query(url, TABLES)
  return { url, pool: openPool(t, url), count: () => countOf(url) }
}

const countOf = async (url: string) =>
  Number(((await query(url, "select n from counters where id = 'a'")) as { n: string }[])[0]?.n)

/** Reads and writes a counter. */
async function increment(execute: Execute, id = 'a'): Promise<void> {
  const { rows } = await execute(statement(`select n from counters where id = '${id}'`))
  await execute(statement(`update counters set n = ${Number(rows[0]?.[0]) + 1} where id = '${id}'`))
}

const times = <T>(count: number, call: () => Promise<T>): Promise<T[]> =>
  Promise.all(Array.from({ length: count }, call))

const terminate = `select pg_terminate_backend(pid) from pg_stat_activity
  where application_name = 'ellipsis-broker' and datname = current_database()`

t.test('the pool of connections', { skip: noPostgres, jobs: 4 }, async (t) => {
  t.test('of transactions that collide, none is lost and none fails', async (t) => {
    const { pool, count } = await open(t)
    await times(50, () => pool.write(increment))
    t.equal(await count(), 50)
    await times(200, () => pool.write((execute) => increment(execute, 'b')))
  })

  t.test('of a deadlock, both succeed', async (t) => {
    const { pool, count } = await open(t)
    const attempts = { ab: 0, ba: 0 }
    const waiting = Promise.withResolvers<undefined>()
    const cross = (order: 'ab' | 'ba') =>
      pool.write(async (execute) => {
        const isFirst = attempts[order]++ === 0
        await execute(statement(`update counters set n = n + 1 where id = '${order[0]}'`))
        if (attempts.ab > 0 && attempts.ba > 0) waiting.resolve(undefined)
        if (isFirst) await waiting.promise
        await execute(statement(`update counters set n = n + 1 where id = '${order[1]}'`))
      })
    await Promise.all([cross('ab'), cross('ba')])
    t.equal(await count(), 2)
    t.equal(attempts.ab + attempts.ba, 3)
  })

  t.test('a row that another transaction has added is seen', async (t) => {
    const { pool } = await open(t)
    const add = () =>
      pool.write(async (execute) => {
        const { rows } = await execute(statement("select n from counters where id = 'new'"))
        if (rows.length === 0) await execute(statement("insert into counters values ('new', 1)"))
        return rows.length === 0
      })
    t.equal((await times(20, add)).filter(Boolean).length, 1)
    const twice = pool.write((execute) => execute(statement("insert into counters values ('a')")))
    await t.rejects(twice, { code: '23502' })
    const taken = "insert into counters values ('new', 1)"
    await t.rejects(
      pool.write((execute) => execute(statement(taken))),
      { code: '23505' },
    )
  })

  t.test('errors are repeated only if that can help', async (t) => {
    const { pool } = await open(t)
    const pids = async (failing: (execute: Execute) => Promise<unknown>) => {
      const seen: unknown[] = []
      const result = pool.write(async (execute) => {
        seen.push((await execute(statement('select pg_backend_pid()'))).rows[0]?.[0])
        if (seen.length === 1) await failing(execute)
      })
      const error: unknown = await result.then(
        () => undefined,
        (error: unknown) => error,
      )
      return { error, attempts: seen.length, connections: new Set(seen).size }
    }
    for (const code of ['08006', '57P01', '57P05', '58030', 'XX000', '0A000', '25006', '26000']) {
      const seen = await pids((execute) => execute(fail(code)))
      t.strictSame(seen, { error: undefined, attempts: 2, connections: 2 }, code)
    }
    for (const code of ['40001', '40P01', '55P03', '23505', '23503']) {
      const seen = await pids((execute) => execute(fail(code)))
      t.strictSame(seen, { error: undefined, attempts: 2, connections: 1 }, code)
    }
    for (const code of ['53100', '53200', '57014']) {
      const { error, attempts } = await pids((execute) => execute(fail(code)))
      t.ok(error instanceof StoreUnavailableError, code)
      t.match(error, { code })
      t.equal(attempts, 1)
    }
    for (const code of ['42703', '22P02', '25P02']) {
      const { error, attempts } = await pids((execute) => execute(fail(code)))
      t.match(error, { code })
      t.notOk(error instanceof StoreUnavailableError, code)
      t.equal(attempts, 1)
    }
    const bugs = [
      Object.assign(new TypeError('the timeout was terminated'), { code: 'ERR_INVALID_ARG_TYPE' }),
      Object.assign(new Error('a socket'), { code: 'ECONNRESET' }),
    ]
    for (const bug of bugs)
      t.strictSame(await pids(() => Promise.reject(bug)), {
        ...{ error: bug, attempts: 1, connections: 1 },
      })
    const swallowed = pool.write((execute) => execute(fail('42703')).catch(() => undefined))
    await t.rejects(swallowed, /a statement failed/)
    await pool.write(increment)
  })

  t.test('a transaction that could not begin leaves no trace in its connection', async (t) => {
    const { pool, url, count } = await open(t)
    await query(url, `alter database ${new URL(url).pathname.slice(1)} set lock_timeout = '50ms'`)
    await Promise.all([
      query(url, 'begin; lock table writers in access exclusive mode; select pg_sleep(0.5)'),
      setTimeout(100).then(() => times(20, () => pool.write(increment))),
    ])
    t.equal(await count(), 20)
  })

  t.test('a connection that the server ends is replaced', async (t) => {
    const { pool, url, count } = await open(t)
    let attempts = 0
    await pool.write(async (execute) => {
      await increment(execute)
      // Between two statements.
      if (attempts++ === 0) await query(url, terminate)
      await setTimeout(50)
      await increment(execute, 'b')
    })
    t.equal(attempts, 2)
    await query(url, terminate)
    await pool.write(increment)
    const sleeping = pool.read((execute) => execute(statement('select pg_sleep(0.5)')))
    await setTimeout(200)
    await query(url, terminate)
    await sleeping
    t.equal(await count(), 2)
  })

  t.test('a commit whose answer is lost is not repeated', async (t) => {
    const { url, count } = await open(t)
    const proxy = await startProxy(t, url)
    const pool = openPool(t, proxy.url)
    await pool.write(increment)
    proxy.cutAfter('commit')
    let attempts = 0
    const lost = pool.write((execute) => {
      attempts++
      return increment(execute)
    })
    await t.rejects(lost, StoreUnavailableError)
    t.equal(attempts, 1)
    t.equal(await count(), 2, 'it took place')

    proxy.cutAfter(null)
    // A transaction that changes nothing has no number, and waits for no standby.
    const number = () =>
      pool.write(async (execute) => {
        const { rows } = await execute(statement('select pg_current_xact_id_if_assigned()::text'))
        return rows[0]?.[0]
      })
    t.ok(await number(), 'the next one waits for what may have been committed')
    t.equal(await number(), null)
  })

  t.test('a server that can’t be reached makes the store unavailable', async (t) => {
    const port = await freePort()
    const pool = openPool(t, `postgres://postgres@127.0.0.1:${port}/none`)
    const began = performance.now()
    const error = { name: 'StoreUnavailableError', code: 'ECONNREFUSED' }
    await Promise.all([
      t.rejects(pool.write(increment), error),
      t.rejects(pool.read(increment), error),
    ])
    const took = performance.now() - began
    t.ok(took >= 10_000 && took < 13_000, `${took} ms`)

    const beganLater = performance.now()
    await t.rejects(pool.read(increment), error)
    t.ok(performance.now() - beganLater < 3000, 'while it is down, no other work waits as long')
  })

  t.test('after an outage, work waits as long as before', async (t) => {
    const { url, count } = await open(t)
    const proxy = await startProxy(t, url)
    const pool = openPool(t, proxy.url)
    proxy.refuse(true)
    await t.rejects(pool.write(increment), StoreUnavailableError)
    await t.rejects(pool.write(increment), StoreUnavailableError)
    proxy.refuse(false)
    await pool.write(increment)
    proxy.refuse(true)
    const waiting = pool.write(increment)
    t.equal(await Promise.race([waiting, setTimeout(2000, 'waits')]), 'waits')
    proxy.refuse(false)
    await waiting
    t.equal(await count(), 2)
  })

  t.test('a network that swallows everything is left after a while', async (t) => {
    const { url, count } = await open(t)
    const proxy = await startProxy(t, url)
    const pool = openPool(t, proxy.url)
    await times(20, () => pool.write(increment))
    const before = proxy.count
    proxy.freeze()
    const began = performance.now()
    await times(20, () => pool.write(increment))
    t.ok(performance.now() - began < 9000)
    t.ok(proxy.count > before)
    t.equal(await count(), 40)
    proxy.freeze()
    await pool.close()
  })

  t.test('a paused process does not hold its locks for long', async (t) => {
    const { pool, url, count } = await open(t)
    const holder = fork(join(import.meta.dirname, 'holder.ts'), [url], { silent: true })
    t.teardown(() => holder.kill('SIGKILL'))
    await once(holder, 'message')
    holder.kill('SIGSTOP')
    const began = performance.now()
    await times(20, () => pool.write(increment))
    t.ok(performance.now() - began < 9000, `${performance.now() - began} ms`)
    t.equal(await count(), 20)
    holder.kill('SIGCONT')
    holder.send('go on')
    t.not((await once(holder, 'exit'))[0], 0, 'its commit fails')
  })

  t.test('a plan that a migration has changed is made anew', async (t) => {
    const { pool, url } = await open(t)
    const named = { text: 'select * from counters', values: [], name: 'all' }
    const width = () => pool.write(async (execute) => (await execute(named)).fields.length)
    t.equal(await width(), 2)
    await query(url, 'alter table counters add column more text')
    t.equal(await width(), 3)
  })

  t.test('closing waits for work in progress', async (t) => {
    const { pool, count } = await open(t)
    let attempts = 0
    const work = times(20, () => pool.write(increment))
    const collided = pool.write(async (execute) => {
      if (attempts++ === 0) await execute(collide)
    })
    await pool.close()
    t.equal(await count(), 20)
    await work
    await collided
    await t.rejects(pool.write(increment), /closed/)
  })
})
