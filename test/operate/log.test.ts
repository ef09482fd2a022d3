import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import t from 'tap'
import {
  addAppWithSecret,
  allow,
  authorizationRequest,
  buildBroker,
  connect,
  exchange,
  freePort,
  postForm,
} from '../helper.ts'
import { listening, runCli } from '../processes.ts'
import { PROGRAM, PROGRAM_ENV } from '../program.ts'
import { Visitor } from '../visitor.ts'

interface Line {
  level: number
  msg: string
  fix?: string
  requests?: string[]
  [field: string]: unknown
}

t.test('the log answers the questions of an operator', async (t) => {
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  // Beside the program: a stand-in, and the same data.
  const beside = await buildBroker(t, { env: { BROKER_PUBLIC_URL: url } })
  const { standIn } = beside
  const env = { ...beside.env, BROKER_PORT: String(port), BROKER_LOG_LEVEL: 'info' }
  const { app, clientSecret } = await addAppWithSecret(beside, { confidential: true, name: 'Map' })
  const child = runCli(['serve'], env)
  t.teardown(() => child.kill('SIGKILL'))
  const lines: Line[] = []
  const changed = new EventTarget()
  let rest = ''
  child.stdout?.on('data', (chunk: Buffer) => {
    const parts = (rest + chunk.toString()).split('\n')
    rest = parts.pop() ?? ''
    lines.push(...parts.map((part) => JSON.parse(part) as Line))
    changed.dispatchEvent(new Event('line'))
  })
  await listening(child)

  /** Waits for a line that the program has written. */
  const line = async (isWanted: (line: Line) => boolean): Promise<Line> => {
    for (;;) {
      const found = lines.find(isWanted)
      if (found) return found
      await new Promise((resolve) => changed.addEventListener('line', resolve, { once: true }))
    }
  }
  const withMessage = (pattern: RegExp) => lines.filter(({ msg }) => pattern.test(msg))
  const runAsWritten = (command: string) =>
    promisify(execFile)(
      'sh',
      ['-c', command.replace(/^ellipsis-broker /, `'${process.execPath}' '${PROGRAM}' `)],
      { env: { ...PROGRAM_ENV, ...env } },
    )
  const ready = async () => (await fetch(`${url}/readyz`)).json() as Promise<object>
  const headers = { authorization: `Bearer ${beside.env.BROKER_METRICS_TOKEN}` }
  const metrics = async () => (await fetch(`${url}/metrics`, { headers })).text()

  await t.test('“The broker refuses my secret”: the request id finds the reason', async (t) => {
    const form = { grant_type: 'authorization_code', code: 'c', code_verifier: 'v' }
    const credentials = { client_id: app.id, client_secret: 'wrong' }
    const send = () => postForm(`${url}/oauth/token`, { ...form, ...credentials })
    const { headers } = await send()
    const id = headers.get('x-request-id')
    t.match(await line(({ request }) => request === id), {
      level: 30,
      msg: 'request refused',
      reason: 'client_secret_mismatch',
      error: 'invalid_client',
      status: 401,
      path: '/oauth/token',
      app: app.id,
      app_name: 'Map',
      address: '127.0.0.1',
    })
    await send()
    await send()
  })

  const connecting = authorizationRequest(app, { redirect_uri: 'https://map.example.com/a?b=1&c' })
  const connectAddress = `${url}/oauth/authorize?${new URLSearchParams(connecting.parameters)}`

  await t.test('a redirect URI is registered by the command in the log', async (t) => {
    t.equal((await fetch(connectAddress)).status, 400)
    const { fix = '', ...refused } = await line(({ reason }) => reason === 'redirect_uri_mismatch')
    t.match(refused, { redirect_uri: connecting.parameters.redirect_uri, app: app.id })
    await runAsWritten(fix)
    t.equal((await fetch(connectAddress)).status, 200)
    const kept = authorizationRequest(app).parameters
    const address = `${url}/oauth/authorize?${new URLSearchParams(kept)}`
    t.equal((await fetch(address)).status, 200, 'the other redirect URIs stay')
  })

  await t.test('an origin is allowed by the command in the log', async (t) => {
    const preflight = async () => {
      const headers = { origin: 'https://map.example.com', 'access-control-request-method': 'POST' }
      return (await fetch(`${url}/exchange`, { method: 'OPTIONS', headers })).status
    }
    t.equal(await preflight(), 403)
    const { fix = '' } = await line(({ origin }) => origin === 'https://map.example.com')
    await runAsWritten(fix.replace('CLIENT_ID', app.id))
    t.equal(await preflight(), 204)
  })

  const visitor = new Visitor()
  const connectUser = async () => {
    const stopAt = connecting.parameters.redirect_uri
    const consent = await visitor.open(connectAddress)
    const upstream = await visitor.press(consent, 'Continue to Ellipsis Drive', {}, stopAt)
    return new URL((await allow(visitor, upstream, 'amelie', stopAt)).url).searchParams
  }

  await t.test('a wrong secret of the broker itself shows at the first connect', async (t) => {
    t.match(await ready(), { status: 'ready', client: 'ok' })
    standIn.addFault({ endpoint: 'token', kind: 'invalid_client', times: 2 })
    for (let count = 0; count < 2; count++) {
      const returned = await connectUser()
      t.equal(returned.get('error'), 'server_error')
      t.match(returned.get('error_description'), /tell the host of this broker.* Request id: \S+$/i)
    }
    const refused =
      'Ellipsis Drive refuses this broker’s own client: check ELLIPSIS_CLIENT_ID and ELLIPSIS_CLIENT_SECRET'
    t.match(await line(({ msg }) => msg === refused), { level: 50 })
    t.match(await line(({ reason }) => reason === 'own_client_refused'), {
      level: 50,
      msg: /^request failed: Ellipsis Drive refused the broker’s own client .*ELLIPSIS_CLIENT_SECRET$/,
      app: app.id,
      redirect_host: 'map.example.com',
    })
    t.match(await ready(), { status: 'ready', client: 'refused' })
    t.match(await metrics(), /^ellipsis_broker_own_client_refused 1$/m)
    t.ok((await connectUser()).get('code'))
    await line(({ msg }) => msg === 'Ellipsis Drive answers again')
    t.match(await ready(), { client: 'ok' })
    t.match(await metrics(), /^ellipsis_broker_own_client_refused 0$/m)
    t.equal(withMessage(/own client/).length, 2, 'one line for the change, one for the requests')
  })

  await t.test('what was repeated is told at the latest when the broker stops', async (t) => {
    const closed = new Promise((resolve) => child.once('close', resolve))
    child.kill('SIGTERM')
    await closed
    t.match(withMessage(/^request refused: repeated 2 times/), [
      { reason: 'client_secret_mismatch', repeats: 2, requests: [/./, /./] },
    ])
    const text = JSON.stringify(lines)
    t.notMatch(text, clientSecret?.reveal() ?? 'no secret')
  })
})

t.test('Ellipsis Drive going down and coming back are one line each', async (t) => {
  const broker = await buildBroker(t)
  const { app } = await addAppWithSecret(broker)
  const { standIn, logged, clock, services } = broker
  const visitors = ['amelie', 'bo'].map((user) => ({ user, visitor: new Visitor() }))
  const tokens: string[] = []
  for (const options of visitors) {
    tokens.push((await connect(broker, app, options)).brokerToken)
  }
  const from = logged.length
  standIn.addFault({ endpoint: 'refresh', kind: 'status', status: 503, times: 1_000_000 })
  for (let round = 0; round < 5; round++) {
    clock.advance(30_000)
    for (const token of tokens) await clock.hurry(exchange(broker, token, { force: true }))
  }
  const linesAt = (level: number) =>
    logged
      .slice(from)
      .map((line) => JSON.parse(line) as Line)
      .filter((line) => line.level >= level && /Ellipsis Drive (fails|answers)/.test(line.msg))
  t.match(linesAt(30), [{ level: 40, msg: 'Ellipsis Drive fails: it answers with status 503' }])
  t.equal(linesAt(30).length, 1)
  t.notMatch(logged.slice(from).join(''), 'a refresh failed', 'no line for each connection')
  standIn.clearFaults()
  clock.advance(61_000)
  for (const token of tokens)
    t.match(await clock.hurry(exchange(broker, token, { force: true })), { status: 200 })
  t.match(linesAt(30)[1], { level: 30, msg: 'Ellipsis Drive answers again', seconds: /./ })
  t.equal(linesAt(30).length, 2)
  t.equal(services.upstream.clientRefusedSince(), null)
})
