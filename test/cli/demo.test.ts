import { createServer } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { startDemo } from '../../server/cli/demo.ts'
import type { DemoOptions } from '../../server/cli/demo.ts'
import { command } from '../command.ts'
import { startReceiver } from '../events/receiver.ts'
import { freePorts } from '../helper.ts'
import { temporaryFolder } from '../temporary.ts'

const PAGE = 'http://localhost:5173/'
const myApp = { redirectUris: [PAGE], confidential: false, tokens: undefined }

/** Starts a demo with kept data. `stop` must be called before the next start. */
async function developer(t: Test) {
  const data = join(temporaryFolder(t), 'demo')
  const port = await freePorts(3)
  const start = async (options: DemoOptions = {}) => {
    const demo = await startDemo({ port, data, myApp, ...options })
    let stopped: Promise<void> | undefined
    const stop = () => (stopped ??= demo.stop())
    t.teardown(stop)
    const value = (name: string) =>
      new RegExp(`${name} ?= ?'?([^'\\s]+)`).exec(demo.instructions)?.[1] ?? ''
    const show = async (id: string) => {
      const env = { BROKER_DATA_DIR: value('BROKER_DATA_DIR') }
      return JSON.parse((await command(['app', 'show', id, '--json'], env)).stdout)
    }
    return { instructions: demo.instructions, value, show, stop }
  }
  return { data, port, start }
}

t.test(
  'an app on this machine is registered under both names, with and without a slash',
  async (t) => {
    const { start, port } = await developer(t)
    const app = 'http://localhost:5173'
    const other = 'http://127.0.0.1:5173'
    const [callback, mobile] = ['http://127.0.0.1:8080/callback?x', 'com.example.app:/back']
    const redirectUris = ['localhost:5173', callback, mobile]
    const demo = await start({ myApp: { ...myApp, redirectUris } })
    t.strictSame((await demo.show(demo.value('clientId'))).redirect_uris, [
      ...[`${app}/`, app, `${other}/`, other],
      ...[callback, 'http://localhost:8080/callback?x'],
      mobile,
    ])
    const preflight = (origin: string) =>
      fetch(`${demo.value('broker')}/exchange`, {
        method: 'OPTIONS',
        headers: { origin, 'access-control-request-method': 'POST' },
      })
    for (const origin of [app, other]) t.equal((await preflight(origin)).status, 204, origin)
    t.equal((await preflight('http://localhost:5174')).status, 403)

    t.equal(demo.value('broker'), `http://localhost:${port}`, 'the broker has the app’s host name')
    const answer = await fetch(`http://127.0.0.1:${port}/admin/sign-in`, {
      headers: { accept: 'text/html' },
    })
    t.match([answer.status, answer.url], [200, `http://localhost:${port}/admin/sign-in`])
    const metadata = await fetch(`${demo.value('broker')}/.well-known/openid-configuration`)
    t.match(await metadata.json(), { issuer: demo.value('broker') })
  },
)

t.test('kept apps keep their id, secret and changes; new redirect URIs are added', async (t) => {
  const { start, data } = await developer(t)
  const server = { ...myApp, confidential: true }
  const first = await start({ myApp: server })
  const [id, secret] = [first.value('CLIENT_ID'), first.value('CLIENT_SECRET')]
  t.match(secret, /^\S{20,}$/)
  const env = { BROKER_DATA_DIR: first.value('BROKER_DATA_DIR') }
  t.equal((await command(['app', 'set', id, '--token-lifetime', '1h'], env)).code, 0)
  await first.stop()

  const back = 'http://127.0.0.1:8080/callback'
  const second = await start({
    myApp: { ...server, redirectUris: [back], tokens: 'ellipsis' },
    port: undefined,
  })
  t.equal(second.value('CLIENT_ID'), id)
  t.equal(second.value('CLIENT_SECRET'), secret)
  const app = await second.show(id)
  t.match(app, { tokens: 'ellipsis', token_lifetime: '1h', type: 'confidential' })
  t.strictSame(app.redirect_uris.slice(0, 3), [back, 'http://localhost:8080/callback', PAGE])
  t.match(second.instructions, `are kept in ${data}`)
  const { status } = await fetch(`${second.value('BROKER')}/oauth/token`, {
    method: 'POST',
    headers: { authorization: `Basic ${btoa(`${id}:${secret}`)}` },
    body: new URLSearchParams({ grant_type: 'refresh_token', refresh_token: 'x' }),
  })
  t.equal(status, 400, 'the secret is accepted, and the token is not')
  await second.stop()

  const third = await start()
  t.not(third.value('clientId'), id, 'a page is another app than a server')
  await third.stop()
  t.equal((await start({ myApp: server })).value('CLIENT_ID'), id)
})

t.test('a back end on this machine gets webhooks', async (t) => {
  const { start } = await developer(t)
  const demo = await start({ myApp: { ...myApp, confidential: true } })
  const env = Object.fromEntries(
    ['BROKER_DATA_DIR', 'BROKER_PUBLIC_URL', 'BROKER_WEBHOOK_ALLOW'].map((name) => [
      name,
      demo.value(name),
    ]),
  )
  const receiver = await startReceiver(t)
  const url = receiver.url.replace('127.0.0.1', 'localhost')
  t.match(await command(['webhook', 'add', url], env), { code: 0, stdout: /whpk_/ })
  const change = ['app', 'set', demo.value('CLIENT_ID'), '--offline']
  t.match(demo.instructions, change.join(' '))
  t.equal((await command(change, env)).code, 0)
  await receiver.until(() =>
    receiver.accepted.some(({ message }) => message.type === 'app.changed'),
  )
})

t.test('kept data is for its ports', async (t) => {
  const { start, port, data } = await developer(t)
  const taken = createServer().listen(port, '127.0.0.1')
  await t.rejects(start(), { name: 'StartError', message: `Port ${port} of` })
  await new Promise((resolve) => taken.close(resolve))
  const another = await freePorts(3)
  const demo = await start({ port: another })
  await demo.stop()
  const message = `The data in ${data} is for --port ${another}.`
  await t.rejects(start(), { name: 'UsageError', message })
})

t.test('wrong usage', async (t) => {
  const folder = temporaryFolder(t)
  const wrong: [string[], RegExp][] = [
    [['--confidential'], /--for-my-app http:\/\/localhost:5173\//],
    [['--tokens', 'ellipsis'], /--for-my-app/],
    [['--tokens', 'x', '--for-my-app', PAGE], /broker, ellipsis/],
    [['--for-my-app', 'http://app.example.com/'], /use https, or http on loopback/],
  ]
  for (const [args, stderr] of wrong) {
    const port = String(await freePorts(3))
    const data = join(folder, port)
    const env = {}
    const result = await command(['demo', '--port', port, '--data', data, ...args], env)
    t.match(result, { code: 2, stderr }, args.join(' '))
  }
})
