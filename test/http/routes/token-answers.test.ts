import t from 'tap'
import { addDevice, allowDevice } from '../../oauth/device/begin.ts'
import { addApp, authorize, buildBroker, postForm } from '../../helper.ts'
import { JWT, swapAtToken } from '../../oauth/swap/begin.ts'

type Answer = Awaited<ReturnType<typeof postForm>>

t.test('every answer with a token is complete, and no cache stores it', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker, { tokens: 'ellipsis' })
  const { returned, verifier } = await authorize(broker, app)
  const redeemed = await postForm(`${broker.url}/oauth/token`, {
    ...{ grant_type: 'authorization_code', client_id: app.id, code_verifier: verifier },
    code: returned.searchParams.get('code') ?? '',
  })
  const token = String(redeemed.body.refresh_token)
  const refreshed = await postForm(`${broker.url}/oauth/token`, {
    ...{ grant_type: 'refresh_token', client_id: app.id, refresh_token: token },
  })
  const device = await addDevice(broker)
  const { body } = await device.start()
  await allowDevice(broker, body.user_code)
  const answers: Record<string, Answer> = {
    'a code': redeemed,
    'a refresh': refreshed,
    'a swap': await swapAtToken(broker, token),
    'a renewal': await swapAtToken(broker, token, { requested_token_type: JWT }),
    'a device code': await device.poll(body.device_code),
  }
  for (const [name, answer] of Object.entries(answers)) {
    t.equal(answer.status, 200, name)
    t.match(answer.headers.get('content-type'), /^application\/json/)
    t.equal(answer.headers.get('cache-control'), 'no-store')
    t.equal(answer.headers.get('pragma'), 'no-cache')
    const complete = { access_token: /.{20}/, token_type: 'Bearer', scope: 'projects' }
    t.match(answer.body, { ...complete, expires_in: Number }, name)
  }
  for (const name of ['a swap', 'a renewal']) {
    t.match(answers[name]?.body.issued_token_type, /^urn:ietf:params:oauth:token-type:/, name)
  }
})
