import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { size } from '../size.ts'
import { begin, connect, newGrant, NOW, purge } from './rows.ts'
import { openTemporary } from './temporary.ts'

const PEOPLE = size(120, 2000)
const nameOf = (index: number): string => `person.${String(index).padStart(6, '0')}@example.net`

/** The people whose name is in any file of the directory. */
const findNames = (directory: string): Set<string> =>
  new Set(
    readdirSync(directory).flatMap(
      (file) =>
        readFileSync(join(directory, file), 'latin1').match(/person\.\d{6}@example\.net/g) ?? [],
    ),
  )

t.test('among many people, no file keeps the name of one who was erased', async (t) => {
  const { store, directory } = await openTemporary(t)
  for (let index = 0; index < PEOPLE; index++) {
    const [id, username] = [`con${(index * 7919) % 10_007}`, nameOf(index)]
    const connected = { at: NOW, actor: 'user', action: 'connection.connected' }
    const events = [{ ...connected, connectionId: id, details: username }]
    await connect(store, id, { username, accountId: username, events })
    await begin(store, newGrant(`grant of ${id}`, { connectionId: id, device: username }))
  }
  for (let index = 0; index < PEOPLE; index += 3) {
    const id = `con${(index * 7919) % 10_007}`
    await store.revokeConnection({ id, now: NOW, erasePerson: true, events: [] })
  }
  t.equal(await purge(store, NOW), true)
  const found = findNames(directory)
  const erased = Array.from({ length: PEOPLE }, (_, index) => index).filter((n) => n % 3 === 0)
  t.strictSame(
    erased.map(nameOf).filter((name) => found.has(name)),
    [],
  )
  t.equal(found.size, PEOPLE - erased.length)
})
