import type { Test } from 'tap'
import type { ConnectionFilter, Store } from '../../../db/store.ts'
import type { OpenStore } from '../contract.ts'
import { size } from '../../size.ts'
import { connect, NOW } from '../rows.ts'
import { everybody, openWithPeople } from './listing.ts'
import { repeat } from './race.ts'

/** Everyone whom a walk finds, in its order, and in how many steps. */
const walk = async (store: Store, filter: Partial<ConnectionFilter>) => {
  const names: string[] = []
  let [cursor, steps]: [string | null, number] = [null, 0]
  do {
    const { rows, next } = await store.walkConnections({ ...everybody, ...filter }, cursor)
    names.push(...rows.map(({ username }) => username))
    steps++
    cursor = next
  } while (cursor !== null)
  return { names, steps }
}

export function testWalks(t: Test, open: OpenStore): void {
  t.test('a walk finds all that match, oldest first', async (t) => {
    const store = await openWithPeople(t, open)
    const found = async (filter: Partial<ConnectionFilter>) =>
      (await walk(store, filter)).names.join(' ')
    t.equal(await found({}), 'Élodie bo Joanna Anna hannah')
    t.equal(await found({ statuses: ['active'] }), 'Élodie bo Anna')
    t.equal(await found({ statuses: [] }), '')
    t.equal(await found({ appId: 'app' }), 'Élodie bo Joanna')
    t.equal(await found({ appId: 'none' }), '')
    t.equal(await found({ search: ' ANN ' }), 'Joanna Anna hannah')
    t.equal(await found({ search: 'nn' }), 'Joanna Anna hannah', 'two letters anywhere')
    t.equal(await found({ search: 'É' }), 'Élodie')
    t.equal(await found({ search: 'ann', appId: 'app' }), 'Joanna')
    for (const search of ['c', 'account of c', 'first of c']) {
      t.equal(await found({ search }), 'Joanna', search)
    }
    t.equal(await found({ search: 'account of c', statuses: ['active'] }), '')
    t.equal(await found({ search: '\u200b' }), '', 'nothing that can be seen')
  })

  t.test('a walk finds all, however many there are and however few match', async (t) => {
    const store = await open(t)
    // A step gives up to 50, and with a search looks at up to 1000.
    const [antons, count] = [size(60, 450), size(1060, 2100)]
    const names = Array.from({ length: count }, (_, n) => (n < antons ? `anton ${n}` : `bo ${n}`))
    const all = [...names, 'zz anton']
    await repeat(all.length, (n) =>
      connect(store, `c${n}`, { username: all[n] ?? '', accountId: null, now: NOW + n }),
    )
    const walked = await walk(store, {})
    t.strictSame(walked.names, all)
    t.equal(walked.steps, Math.ceil((count + 1) / 50))
    const some = await walk(store, { search: 'anton' })
    t.strictSame(some.names, [...names.slice(0, antons), 'zz anton'])
    t.ok(some.steps <= Math.ceil(antons / 50) + Math.ceil(count / 1000), `${some.steps} steps`)
    const few = await walk(store, { search: 'zz' })
    t.strictSame(few, { names: ['zz anton'], steps: Math.ceil((count + 1) / 1000) })
  })

  t.test(
    'a walk of all connections visits each once, whatever the order of their ids',
    async (t) => {
      const store = await open(t)
      const ids = ['c', 'a', 'd', 'b']
      for (const id of ids) await connect(store, id)
      t.strictSame(
        (await walk(store, {})).names,
        ids.map((id) => `user of ${id}`),
      )
      await store.revokeConnection({ id: 'd', now: NOW, events: [] })
      const { names } = await walk(store, { statuses: ['active', 'needs_reconnect'] })
      t.strictSame(names, ['user of c', 'user of a', 'user of b'])
    },
  )
}
