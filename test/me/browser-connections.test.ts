import t from 'tap'
import { browserHashOf } from '../../server/connections/devices.ts'
import { createFindBrowserConnections } from '../../server/me/browser-connections.ts'
import { Secret } from '../../server/secret.ts'

const browser = new Secret('browser')

t.test('connections of a browser are found in every batch, the last fifty of them', async (t) => {
  const grants = Array.from({ length: 130 }, (_, index) => {
    const connectionId = `con${index}`
    const maker = index % 2 === 0 ? browser : new Secret('another browser')
    return { connectionId, appId: 'app', browserHash: browserHashOf(maker, 'app', connectionId) }
  })
  const store = {
    listGrantsWithoutAccount: async ({ after }: { after: string | null }) => {
      const start = Number(after ?? 0)
      const end = start + 40
      return { rows: grants.slice(start, end), next: end < grants.length ? String(end) : null }
    },
  }
  const find = createFindBrowserConnections({ store, throttle: (work) => work() })
  const own = grants.map(({ connectionId }) => connectionId).filter((_, index) => index % 2 === 0)
  t.equal(own.length, 65)
  t.strictSame(await find(browser), own.slice(-50))
  t.strictSame(await find(new Secret('none')), [])
})
