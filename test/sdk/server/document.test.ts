/** Runs the programs of docs/sdk.md unchanged. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Webhook } from 'standardwebhooks'
import t from 'tap'
import type { Test } from 'tap'
import { buildSdk } from '../../../scripts/sdk.ts'
import { codeBlock } from '../../clients/code-block.ts'
import { runProgram } from '../../clients/python.ts'
import { allow, buildBroker, freePort } from '../../helper.ts'
import { addOfflineApp, callApi, getAppToken } from '../../oauth/offline/begin.ts'
import { addUsers } from '../../oauth/offline/many.ts'
import { temporaryFolder } from '../../temporary.ts'
import { Visitor } from '../../visitor.ts'

/** A project that has installed the SDK, with a program of the page. */
function writeProgram(t: Test, section: string): string {
  const folder = temporaryFolder(t)
  const packages = join(folder, 'node_modules')
  mkdirSync(packages)
  buildSdk(join(packages, 'ellipsis-broker'))
  const file = join(folder, 'program.mjs')
  writeFileSync(file, codeBlock('../sdk', 'js', section))
  return file
}

t.test('a web server, and a receiver of webhooks', async (t) => {
  const broker = await buildBroker(t)
  const here = `http://127.0.0.1:${await freePort()}`
  const { app, credentials } = await addOfflineApp(broker, { redirectUris: [`${here}/connected`] })
  const key = `whsec_${Buffer.alloc(32, 1).toString('base64')}`
  const env = {
    ...{ BROKER: broker.url, CLIENT_ID: app.id, CLIENT_SECRET: credentials.client_secret },
    ...{ HERE: here, WEBHOOK_KEY: key },
  }
  const stop = new AbortController()
  t.teardown(() => stop.abort())
  const listening = Promise.withResolvers<undefined>()
  const printed: string[] = []
  const onLine = (line: string) => {
    printed.push(line)
    if (line === 'listening') listening.resolve(undefined)
  }
  const command = [process.execPath, writeProgram(t, 'A web server')]
  const ended = runProgram(command, env, onLine, { signal: stop.signal })
  t.equal(await Promise.race([listening.promise, ended.then(({ output }) => output)]), undefined)

  const visitor = new Visitor()
  const refused = await visitor.press(await visitor.open(here), 'Deny')
  t.equal(refused.body, 'You refused, so nothing was connected.')
  const login = await visitor.press(await visitor.open(here), 'Continue to Ellipsis Drive')
  const page = await allow(visitor, login, 'amelie')
  t.match(page.body, /^amelie has connected: grant_/)
  const grantId = page.body.split(': ')[1] ?? ''
  const token = await getAppToken(broker, { app, credentials })
  t.match(await callApi(broker, token, `/${grantId}`), { body: { external_id: 'user-1' } })
  const forged = await fetch(`${here}/connected?code=x&state=y`, {
    headers: { cookie: 'flow=unknown' },
    redirect: 'manual',
  })
  t.equal(forged.headers.get('location'), '/')

  const body = JSON.stringify({ type: 'grant.revoked', timestamp: '2027-01-15', data: {} })
  const sentAt = new Date()
  const headers = {
    'webhook-id': 'evt_1',
    'webhook-timestamp': String(Math.floor(sentAt.getTime() / 1000)),
    'webhook-signature': new Webhook(key).sign('evt_1', sentAt, body),
  }
  const send = (body: string) => fetch(`${here}/webhook`, { method: 'POST', headers, body })
  t.equal((await send(body)).status, 204)
  t.equal((await send(body)).status, 204)
  t.equal((await send(`${body} `)).status, 400)
  stop.abort()
  await ended
  t.equal(printed.filter((line) => line === 'webhook grant.revoked').length, 1, 'once')
})

t.test('a nightly job that is killed, and started again', async (t) => {
  const broker = await buildBroker(t)
  const { app, credentials } = await addOfflineApp(broker)
  await addUsers(broker, app, 6)
  const token = await getAppToken(broker, { app, credentials })
  await callApi(broker, token, '/grant_many0', { method: 'DELETE' })
  const env = {
    ...{ BROKER: broker.url, ELLIPSIS_API: broker.env.ELLIPSIS_API_URL ?? '' },
    ...{ CLIENT_ID: app.id, CLIENT_SECRET: credentials.client_secret },
    STATE: join(temporaryFolder(t), 'state'),
  }
  const command = [process.execPath, writeProgram(t, 'A nightly job')]
  const done: string[] = []
  const run = async (limit: number) => {
    const kill = new AbortController()
    const onLine = (line: string) => {
      const user = /^done (\S+) amelie$/.exec(line)?.[1]
      if (user === undefined) return
      done.push(user)
      if (done.length === limit) kill.abort()
      if (done.length === 2) broker.clock.advance(601_000)
    }
    return runProgram(command, env, onLine, { signal: kill.signal })
  }
  await run(3)
  t.ok(done.length < 5, 'it was killed')
  broker.standIn.addFault({ endpoint: 'refresh', kind: 'invalid_grant', times: 2 })
  const { code, output } = await run(Infinity)
  t.equal(code, 0, output)
  t.match(output, /failed user-\d reconnect_required http.*\/connect\/app_/)
  const users = new Set(done)
  t.equal(users.size, 4, 'the others')
  t.ok(done.length <= 5, 'at most one of them twice')
})
