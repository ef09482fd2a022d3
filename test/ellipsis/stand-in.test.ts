import t from 'tap'
import type { Test } from 'tap'
import { Secret } from '../../server/secret.ts'
import { standInDefaults, startStandIn } from '../../server/stand-in/app.ts'
import type { Switches } from '../../server/stand-in/app.ts'
import { clientAt, failureOf, refresh } from './upstream.ts'

/** Starts a stand-in, and returns it with its registered client. */
async function start(t: Test) {
  const client = { ...standInDefaults.client, redirectUris: [] }
  const standIn = await startStandIn({ port: 0, clients: [client] })
  t.teardown(() => standIn.close())
  return { ...standIn, client }
}

t.test('an unknown refresh token, in each error format that Ellipsis Drive may use', async (t) => {
  const { apiUrl, standIn, client: registered } = await start(t)
  const { id: clientId, secret } = registered
  const client = clientAt(apiUrl, { clientId, clientSecret: new Secret(secret) })
  const shapes: [Switches['errorShape'], string][] = [
    ['oauth', 'refused'],
    ['message', 'transient'],
    ['html', 'transient'],
    ['empty', 'transient'],
  ]
  for (const [errorShape, kind] of shapes) {
    standIn.switches.errorShape = errorShape
    t.match(await failureOf(refresh(client)), { kind, maybeApplied: false }, errorShape)
  }
})

t.test('a wrong client secret', async (t) => {
  const { apiUrl, client: registered } = await start(t)
  for (const tokenRequest of ['form', 'json'] as const) {
    const client = clientAt(apiUrl, { clientId: registered.id, tokenRequest })
    t.match(await failureOf(refresh(client)), { kind: 'misconfigured', code: 'invalid_client' })
  }
})
