/** Runs the programs of docs/connect/nightly.md unchanged, and two libraries that get app tokens. */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import * as oauth4webapi from 'oauth4webapi'
import * as openidClient from 'openid-client'
import t from 'tap'
import { buildBroker } from '../helper.ts'
import { addOfflineApp, callApi, getAppToken } from '../oauth/offline/begin.ts'
import { addUsers } from '../oauth/offline/many.ts'
import { temporaryFolder } from '../temporary.ts'
import { codeBlock } from './code-block.ts'
import { runProgram, without } from './python.ts'

const hasJq = spawnSync('jq', ['--version']).status === 0

const programs = {
  python: { skip: without('requests'), command: ['/usr/bin/python3', '-c'] },
  js: { skip: false, command: [process.execPath, '--input-type=module', '--eval'] },
  bash: { skip: !hasJq && 'jq is missing: apt-get install jq', command: ['bash', '-c'] },
} as const

for (const [language, { skip, command }] of Object.entries(programs)) {
  t.test(`nightly.md, ${language}: killed half-way, and started again`, { skip }, async (t) => {
    const broker = await buildBroker(t)
    const app = await addOfflineApp(broker)
    await addUsers(broker, app.app, 8)
    const token = await getAppToken(broker, app)
    const { body } = await callApi(broker, token, '')
    const [first, ...others] = body.grants as Record<string, string>[]
    await callApi(broker, token, `/${first?.grant_id}`, { method: 'DELETE' })
    const env = {
      ...{ BROKER: broker.url, ELLIPSIS_API: broker.env.ELLIPSIS_API_URL ?? '' },
      ...{ CLIENT_ID: app.app.id, CLIENT_SECRET: app.credentials.client_secret },
      STATE: join(temporaryFolder(t), 'state'),
    }
    const done: string[] = []
    /** Runs the program; ends it after `limit` users. */
    const run = async (limit: number) => {
      const kill = new AbortController()
      const before = done.length
      const onLine = (line: string) => {
        const user = /^done (\S+) amelie$/.exec(line)?.[1]
        if (user === undefined) return
        done.push(user)
        if (done.length === before + limit) kill.abort()
        // The app token expires while the program runs.
        if (done.length === 2) broker.clock.advance(601_000)
      }
      const source = codeBlock('nightly', language)
      return runProgram([...command, source], env, onLine, { signal: kill.signal })
    }
    await run(3)
    t.ok(done.length < 7, 'it was killed')
    const before = done.length
    const { code, output } = await run(Infinity)
    t.equal(code, 0, output)
    const expected = others.map((grant) => grant.external_id)
    t.strictSame([...new Set(done)], expected, 'every active user, in the order of the grants')
    t.ok(done.length <= 8, 'at most one of them twice')
    t.ok(done.length - before < 7, 'the second run did not begin anew')
    t.equal(broker.standIn.calls.refresh, 7)
  })
}

t.test(
  'nightly.md: a user who has to reconnect does not stop the job',
  { skip: !hasJq },
  async (t) => {
    for (const [language, { skip, command }] of Object.entries(programs)) {
      if (skip) continue
      const broker = await buildBroker(t)
      const app = await addOfflineApp(broker)
      await addUsers(broker, app.app, 2)
      broker.standIn.addFault({ endpoint: 'refresh', kind: 'invalid_grant', times: 2 })
      const env = {
        ...{ BROKER: broker.url, ELLIPSIS_API: broker.env.ELLIPSIS_API_URL ?? '' },
        ...{ CLIENT_ID: app.app.id, CLIENT_SECRET: app.credentials.client_secret },
        STATE: join(temporaryFolder(t), 'state'),
      }
      const { output } = await runProgram([...command, codeBlock('nightly', language)], env)
      t.match(output, /failed user-\d reconnect_required http.*\/connect\/app_/, language)
      t.match(output, /done user-\d amelie/, language)
    }
  },
)

t.test('openid-client gets an app token', async (t) => {
  const broker = await buildBroker(t)
  const app = await addOfflineApp(broker)
  const { client_id, client_secret } = app.credentials
  for (const method of [openidClient.ClientSecretBasic, openidClient.ClientSecretPost]) {
    const config = await openidClient.discovery(
      new URL(broker.url),
      client_id,
      undefined,
      method(client_secret),
      { execute: [openidClient.allowInsecureRequests] },
    )
    const { access_token, expires_in } = await openidClient.clientCredentialsGrant(config)
    t.equal(expires_in, 600)
    const url = new URL(`${broker.url}/v1/grants`)
    const answer = await openidClient.fetchProtectedResource(config, access_token, url, 'GET')
    t.strictSame(await answer.json(), { grants: [], next: null })
  }
  const wrong = await openidClient.discovery(
    new URL(broker.url),
    client_id,
    undefined,
    openidClient.ClientSecretBasic('wrong'),
    { execute: [openidClient.allowInsecureRequests] },
  )
  const refused: unknown = await openidClient.clientCredentialsGrant(wrong).catch((error) => error)
  t.match(refused, { status: 401 })
})

t.test('oauth4webapi gets an app token, and is told why not', async (t) => {
  const broker = await buildBroker(t)
  const app = await addOfflineApp(broker)
  const { client_id, client_secret } = app.credentials
  const local = { [oauth4webapi.allowInsecureRequests]: true }
  const issuer = new URL(broker.url)
  const found = await oauth4webapi.discoveryRequest(issuer, { algorithm: 'oauth2', ...local })
  const server = await oauth4webapi.processDiscoveryResponse(issuer, found)
  const get = async () => {
    const answer = await oauth4webapi.clientCredentialsGrantRequest(
      server,
      { client_id },
      oauth4webapi.ClientSecretBasic(client_secret),
      new URLSearchParams({ scope: 'grants' }),
      local,
    )
    return oauth4webapi.processClientCredentialsResponse(server, { client_id }, answer)
  }
  const { access_token } = await get()
  t.equal((await callApi(broker, access_token, '')).status, 200)
  await broker.services.apps.set(client_id, { offline: false }, 'test')
  t.match(await get().catch((error: unknown) => error), { error: 'unauthorized_client' })
})
