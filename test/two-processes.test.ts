import t from 'tap'
import { addApp, buildBroker, connect } from './helper.ts'
import type { TestBroker } from './helper.ts'
import { serve } from './processes.ts'

const swapAt = async (url: string, token: string, wishes: object = {}) => {
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
  const body = JSON.stringify(wishes)
  const response = await fetch(`${url}/exchange`, { method: 'POST', headers, body })
  return { status: response.status, body: (await response.json()) as Record<string, unknown> }
}

t.test('a thousand swaps through two processes make one call upstream', async (t) => {
  const broker = await buildBroker(t, { switches: { rotation: 'always', tokenLifetime: 62 } })
  const { brokerToken } = await connect(broker, await addApp(broker))
  const others = [await serve(t, broker.env), await serve(t, broker.env)]
  broker.standIn.switches.tokenLifetime = 3600
  broker.standIn.switches.tokenDelay = 50
  await new Promise((resolve) => setTimeout(resolve, 2500))
  const answers = await Promise.all(
    Array.from({ length: 1000 }, (_, index) => swapAt(others[index % 2]?.url ?? '', brokerToken)),
  )
  t.same(new Set(answers.map(({ status }) => status)), new Set([200]))
  t.equal(new Set(answers.map(({ body }) => body.access_token)).size, 1)
  t.equal(broker.standIn.calls.refresh, 1)
  for (const other of others) t.equal(await other.stop(), 0)
})

t.test('a revocation in one process holds in the others from the next request on', async (t) => {
  const broker = await buildBroker(t)
  const { brokerToken, connectionId } = await connect(broker, await addApp(broker))
  const other = await serve(t, broker.env)
  t.equal((await swapAt(other.url, brokerToken)).status, 200)
  await broker.services.connections.revoke(connectionId, 'test')
  t.equal((await swapAt(other.url, brokerToken)).status, 401)
})

t.test('ten thousand refreshes of rotating tokens from two processes lose nothing', async (t) => {
  const broker = await buildBroker(t, { switches: { rotation: 'always', tokenLifetime: 60 } })
  const tokens = await connectMany(broker, 100)
  const others = [await serve(t, broker.env), await serve(t, broker.env)]
  const worker = async (token: string, index: number) => {
    for (let round = 0; round < 100; round++) {
      // A longer life than any before: nothing that is stored will do.
      const wishes = { min_ttl: 100 + round }
      const url = others[(index + round) % 2]?.url ?? ''
      // On a busy machine a refresh may outlast its waiters, who come again.
      let status: number
      do ({ status } = await swapAt(url, token, wishes))
      while (status === 503)
      if (status !== 200) throw new Error(`swap ${round} of ${index} answered ${status}`)
    }
  }
  await Promise.all(tokens.map(worker))
  t.ok(broker.standIn.calls.refresh >= 10_000, `${broker.standIn.calls.refresh} refreshes`)
  const { services } = broker
  const connections = await Array.fromAsync(services.connections.all())
  t.equal(connections.length, 100)
  t.ok(connections.every(({ status }) => status === 'active'))
  for (const token of tokens) t.equal((await swapAt(others[0]?.url ?? '', token)).status, 200)
})

/** Many connections, each with a grant, made without a browser. */
async function connectMany({ services, standIn, clock }: TestBroker, count: number) {
  const { store, vault, apps } = services
  const { app } = await apps.add(
    {
      name: 'Many',
      redirectUris: ['https://app.example.com/'],
      confidential: false,
      trusted: false,
      tokenLifetimeSeconds: 86_400,
      deliver: 'code',
      tokens: 'broker',
      device: false,
      dpop: 'optional',
    },
    'test',
  )
  const { Secret } = await import('../server/secret.ts')
  const { sha256 } = await import('../server/domain/hash.ts')
  const tokens: string[] = []
  for (let index = 0; index < count; index++) {
    const id = `con_${index}`
    const refreshToken = new Secret(standIn.grant(`user${index}`))
    const code = `code-${index}`
    const verifier = `verifier-${index}`
    const now = clock.now()
    await store.saveConnection({
      id,
      expectedGeneration: null,
      accountId: `account-${index}`,
      username: `user${index}`,
      tokens: {
        refreshToken: vault.seal(`connections/${id}/refresh_token`, refreshToken),
        accessToken: vault.seal(`connections/${id}/access_token`, new Secret('none')),
        accessTokenExpiresAt: 0,
        accessTokenFetchedAt: 0,
      },
      now,
      code: {
        codeHash: sha256(code),
        appId: app.id,
        redirectUri: 'https://app.example.com/',
        challenge: sha256(verifier),
        jkt: null,
        connectionId: id,
        scope: 'projects',
        device: 'test',
        createdAt: now,
        expiresAt: now + 60_000,
      },
      events: [],
    })
    const redemption = {
      app,
      code: new Secret(code),
      verifier: new Secret(verifier),
      redirectUri: undefined,
      proof: null,
      address: 'test',
    }
    tokens.push((await services.redeem.redeem(redemption)).token)
  }
  return tokens
}
