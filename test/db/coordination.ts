import type { Test } from 'tap'
import type { Coordination } from '../../db/coordination.ts'
import { LockHeldError } from '../../db/errors.ts'

/** Opens another process's view of what the processes of the test share; closed with the test. */
export type OpenCoordination = () => Coordination

const told = { pid: process.pid, command: 'serve', startedAt: 7, keyIds: ['a'] }

/** Tests what db/coordination.ts promises, on an engine. */
export function testCoordination(t: Test, open: OpenCoordination): void {
  t.test('one process at a time has the start lock; the others wait', async (t) => {
    const [one, other] = [open(), open()]
    const order: string[] = []
    let second: Promise<unknown> = Promise.resolve()
    await one.withStartLock(async () => {
      order.push('one')
      second = other.withStartLock(async () => order.push('other'))
      await t.rejects(
        one.withLock('x', () => Promise.reject(new Error('no'))),
        { message: 'no' },
      )
      order.push('one ends')
    })
    await second
    t.strictSame(order, ['one', 'one ends', 'other'])
    await t.rejects(
      one.withStartLock(() => Promise.reject(new Error('no'))),
      { message: 'no' },
    )
    t.equal(await other.withStartLock(async () => 3), 3, 'freed after a failure')
  })

  t.test('a named lock is not waited for', async (t) => {
    const [one, other] = [open(), open()]
    await one.withLock('rotate', async () => {
      await t.rejects(
        other.withLock('rotate', async () => 1),
        LockHeldError,
      )
      t.equal(await other.withLock('another', async () => 2), 2)
      t.equal(await other.withStartLock(async () => 3), 3)
    })
    t.equal(await other.withLock('rotate', async () => 4), 4)
  })

  t.test('processes see each other until they unregister', async (t) => {
    const [one, other] = [open(), open()]
    const presence = await one.withStartLock(() => one.register(told))
    t.match(await other.listProcesses(), [{ ...told, id: presence.id }])
    t.equal(await other.hasDied(presence.id), false)
    await presence.setKeyIds(['b', 'a'])
    t.match(await other.listProcesses(), [{ keyIds: ['b', 'a'] }])
    const own = await other.withStartLock(() => other.register({ ...told, startedAt: 8 }))
    t.equal((await one.listProcesses()).length, 2)
    await presence.unregister()
    t.equal(await other.hasDied(presence.id), true)
    t.match(await other.listProcesses(), [{ id: own.id }])
    t.equal(await other.hasDied('never'), true)
    await own.unregister()
  })
}
