import t from 'tap'
import { begin } from '../../oauth/swap/begin.ts'

t.test('CORS: registered origins on token, exchange and revoke, none elsewhere', async (t) => {
  const { broker } = await begin(t)
  const preflight = (path: string, origin: string) =>
    fetch(broker.url + path, {
      method: 'OPTIONS',
      headers: {
        origin,
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'authorization,content-type',
      },
    })
  const origin = 'https://app.example.com'
  for (const path of ['/oauth/token', '/exchange', '/oauth/revoke']) {
    const answer = await preflight(path, origin)
    t.equal(answer.headers.get('access-control-allow-origin'), origin, path)
    t.match(answer.headers.get('access-control-allow-headers'), 'authorization')
    const foreign = await preflight(path, 'https://evil.example')
    t.equal(foreign.headers.get('access-control-allow-origin'), null)
    const post = await fetch(broker.url + path, { method: 'POST', headers: { origin } })
    t.equal(post.headers.get('access-control-allow-origin'), origin, 'errors can be read too')
  }
  for (const path of ['/oauth/authorize', '/oauth/introspect', '/oauth/device_authorization']) {
    const elsewhere = await fetch(broker.url + path, { headers: { origin } })
    t.equal(elsewhere.headers.get('access-control-allow-origin'), null, path)
  }
})
