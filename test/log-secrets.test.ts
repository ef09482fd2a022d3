import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { addAppWithSecret, authorize, buildBroker, connect, exchange } from './helper.ts'
import { size } from './size.ts'
import { Visitor } from './visitor.ts'

const LINES = size(1500, 10_000)
const WORKERS = 16
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-/

t.test(`${LINES} log lines under load and faults contain no secret`, async (t) => {
  const broker = await buildBroker(t, {
    switches: { rotation: 'always', tokenLifetime: 62 },
    env: { BROKER_TRUST_PROXY: '127.0.0.1', BROKER_METRICS_TOKEN: 'metrics-token-of-this-test' },
  })
  const { url, services, standIn, logged, clock, env, dataDir } = broker
  const { app, clientSecret } = await addAppWithSecret(broker, { confidential: false })
  const server = await addAppWithSecret(broker, { confidential: true })
  const visitor = new Visitor()
  const used = await authorize(broker, app, { visitor })
  const code = used.returned.searchParams.get('code') ?? ''
  const tokens: string[] = []
  for (const user of ['amelie', 'bo', 'amelie']) {
    tokens.push((await connect(broker, app, { user })).brokerToken)
  }
  const linked = await fetch(`${url}/links`, {
    method: 'POST',
    headers: { authorization: `Bearer ${tokens[0]}`, 'content-type': 'application/json' },
    body: JSON.stringify({ path: '/account/root/{root}' }),
  })
  const { url: link } = (await linked.json()) as { url: string }
  const [, linkSecret] = /\/l\/([^/]+)/.exec(link) ?? []
  const secrets = new Set([
    ...[linkSecret, env.ELLIPSIS_CLIENT_SECRET, env.BROKER_METRICS_TOKEN, code, used.verifier],
    ...[clientSecret?.reveal(), server.clientSecret?.reveal(), ...tokens],
    ...visitor.cookies(url).values(),
    readFileSync(join(dataDir, 'secret.key'), 'utf8').trim(),
  ])
  secrets.delete(undefined)

  /** Requests with a secret wherever a careless app or a guesser can put one. */
  const careless = (secret: string): [string, RequestInit][] => {
    const form = (fields: Record<string, string>) => ({
      method: 'POST',
      body: new URLSearchParams({ client_id: app.id, ...fields }),
    })
    const header = {
      'user-agent': secret,
      referer: `https://x/?${secret}`,
      // A code that is a UUID looks like the request id of a trusted proxy, which is logged.
      ...(!UUID.test(secret) && { 'x-request-id': secret }),
    }
    return [
      ['/exchange', { method: 'POST', headers: { ...header, authorization: `Bearer ${secret}x` } }],
      ['/exchange', { method: 'POST', headers: header, body: `{"min_ttl": "${secret}"` }],
      [`/exchange?access_token=${secret}`, { method: 'POST', headers: header }],
      [`/callback?code=${secret}&state=${secret}`, { headers: { cookie: `flow=${secret}` } }],
      [`/oauth/authorize?client_id=${secret}&state=${secret}&code_challenge=${secret}`, {}],
      [`/connect/${secret.slice(0, 190)}`, { headers: header }],
      [`/l/${secret}/account/root/myDrive`, { headers: header }],
      [`/l/${secret}`, { method: 'POST', headers: header }],
      [`/l/${secret}/%zz`, { headers: header }],
      [`/${secret}`, { headers: { ...header, authorization: `Basic ${btoa(`a:${secret}`)}` } }],
      ['/oauth/token', form({ grant_type: 'authorization_code', code: secret })],
      ['/oauth/token', form({ grant_type: secret, client_secret: secret })],
      ['/oauth/token', form({ grant_type: 'refresh_token', refresh_token: secret })],
      ['/oauth/revoke', form({ token: secret, client_secret: secret })],
      ['/metrics', { headers: { authorization: `Bearer ${secret}` } }],
    ]
  }

  const faults = ['garbage', 'html', 'cut-before', 'cut-after', 'invalid_client', 'invalid_grant']
  const { getSwapState } = services.store
  const worker = async (index: number): Promise<void> => {
    for (let round = 0; logged.length < LINES; round++) {
      const all = [...secrets, ...standIn.issued().slice(-20)] as string[]
      const secret = all[(round * WORKERS + index) % all.length] ?? ''
      for (const [path, init] of careless(secret)) {
        await fetch(url + path, { redirect: 'manual', ...init }).then((answer) => answer.text())
      }
      const kind = faults[round % faults.length] as 'garbage'
      standIn.addFault({ endpoint: 'refresh', kind, times: 2 })
      if (index === 0) clock.advance(61_000)
      const broken = async () => Promise.reject(new Error(`no answer for ${tokens[0]}`))
      if (index === 1) Object.assign(services.store, { getSwapState: broken })
      await exchange(broker, tokens[round % tokens.length] ?? '', { min_ttl: 9999 })
      Object.assign(services.store, { getSwapState })
    }
  }
  await Promise.all(Array.from({ length: WORKERS }, (_, index) => worker(index)))

  for (const issued of standIn.issued()) secrets.add(issued)
  const text = logged.join('')
  t.ok(logged.length >= LINES, `${logged.length} lines, ${secrets.size} secrets`)
  for (const level of [20, 30, 40, 50]) t.match(text, `"level":${level}`)
  t.match(text, 'no answer for [redacted]', 'a secret in an error is redacted')
  const found = [...secrets].filter((secret) => text.includes(secret as string))
  t.strictSame(found, [])
})
