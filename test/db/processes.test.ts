import { once } from 'node:events'
import t from 'tap'
import { firstMessage, forkChild } from './children.ts'
import { actions, connect, newTokens } from './rows.ts'
import { openAt, openTemporary } from './temporary.ts'
import { temporaryFolder } from '../temporary.ts'

t.test('two processes that refresh one connection never hold its lease together', async (t) => {
  const { store, directory } = await openTemporary(t)
  await connect(store)
  const tell = async () => (await firstMessage(forkChild('refresh', directory))) as number[]
  const stored = (await Promise.all([tell(), tell()])).flat()
  t.equal(stored.length, 200)
  t.equal(new Set(stored).size, 200, 'each generation was replaced once')
  t.match(await store.getConnection('con'), { generation: 201, leaseOwner: null })
})

t.test('a process killed at any point leaves a whole write or none', async (t) => {
  const directory = temporaryFolder(t)
  const before = await openAt(directory)
  await connect(before)
  await before.close()
  const child = forkChild('refresh-until-killed', directory)
  const exited = once(child, 'exit')
  let told = 0
  child.on('message', (generation) => {
    told = generation as number
    if (told === 40) child.kill('SIGKILL')
  })
  const [, signal] = (await exited) as [number | null, NodeJS.Signals | null]
  t.equal(signal, 'SIGKILL', 'while it was storing')
  const store = await openAt(directory)
  t.teardown(() => store.close())
  const connection = await store.getConnection('con')
  const generation = connection?.generation ?? 0
  t.ok(generation >= told, 'what was told is there')
  t.match(connection, newTokens(`${generation}`))
  t.equal((await actions(store)).at(-1), `${generation}`)
})
