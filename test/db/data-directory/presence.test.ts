import { once } from 'node:events'
import { readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { registerProcess, hasDied, listProcesses } from '../../../db/data-directory/presence.ts'
import { firstMessage, forkChild } from '../children.ts'
import { temporaryFolder } from '../../temporary.ts'

const told = { pid: process.pid, command: 'serve', startedAt: 1, keyIds: ['a'] }
const list = (directory: string) => listProcesses(directory, undefined)
const died = (directory: string, id: string) => hasDied(directory, undefined, id)

t.test('a process is listed from its registration until it unregisters', async (t) => {
  const directory = temporaryFolder(t)
  t.strictSame(list(directory), [])
  const presence = registerProcess(directory, undefined, told)
  t.strictSame(list(directory), [{ ...told, id: presence.id }])
  presence.setKeyIds(['b', 'a'])
  t.strictSame(list(directory)[0]?.keyIds, ['b', 'a'])
  t.equal(list(directory).length, 1, 'looking frees no lock')
  rmSync(join(directory, 'running', `${presence.id}.json`))
  t.strictSame(list(directory), [], 'one that leaves just now is not listed')
  t.equal(died(directory, presence.id), false)
  presence.unregister()
  t.equal(died(directory, presence.id), true)
  t.strictSame(list(directory), [])
  t.strictSame(readdirSync(join(directory, 'running')), [])
})

t.test('a killed process is no longer listed, and the next one removes its files', async (t) => {
  const directory = temporaryFolder(t)
  const child = forkChild('be-present', directory)
  t.equal(await firstMessage(child), 'here')
  t.match(list(directory), [{ pid: child.pid, command: 'test' }])
  const { id = '' } = list(directory)[0] ?? {}
  child.kill('SIGSTOP')
  t.equal(list(directory).length, 1, 'one that is paused is still there')
  t.equal(died(directory, id), false)
  child.kill('SIGKILL')
  await once(child, 'exit')
  t.equal(died(directory, id), true, 'though its lock’s file is there')
  t.strictSame(list(directory), [])
  t.ok(readdirSync(join(directory, 'running')).length > 0)
  const presence = registerProcess(directory, undefined, told)
  t.equal(
    readdirSync(join(directory, 'running')).filter((name) => !name.startsWith(presence.id)).length,
    0,
  )
  presence.unregister()
})

t.test('listing processes never prevents another one from registering', async (t) => {
  const directory = temporaryFolder(t)
  const child = forkChild('look-around', directory)
  const exited = once(child, 'exit')
  t.equal(await firstMessage(child), 'here')
  for (let round = 0; round < 300; round++) registerProcess(directory, undefined, told).unregister()
  child.disconnect()
  t.strictSame(await exited, [0, null])
})

t.test('a lock that can’t be read is an error', async (t) => {
  const directory = t.testdir({ running: { 'x.lock': {} } })
  t.throws(() => list(directory), { code: 'SQLITE_CANTOPEN' })
  const damaged = t.testdir({ running: { 'x.lock': 'no lock of ours '.repeat(8) } })
  t.throws(() => list(damaged), { code: 'SQLITE_NOTADB' })
  const other = t.testdir({ running: {} })
  const presence = registerProcess(other, undefined, told)
  t.teardown(() => presence.unregister())
  const file = join(other, 'running', `${presence.id}.json`)
  rmSync(file)
  const { mkdirSync } = await import('node:fs')
  mkdirSync(file)
  t.throws(() => list(other), { code: 'EISDIR' })
  rmSync(file, { recursive: true })
})
