import { connect } from 'node:net'
import t from 'tap'
import { Visitor } from '../../visitor.ts'
import { setUpBadInput } from './setup.ts'

const FORM = 'application/x-www-form-urlencoded'

t.test('malformed HTTP', async (t) => {
  const { url, connection, hasChanged } = await setUpBadInput(t)

  t.test('content types and methods', async (t) => {
    const post = (path: string, type: string | null, body: string) => {
      const headers = {
        authorization: `Bearer ${connection.brokerToken}`,
        ...(type && { 'content-type': type }),
      }
      return fetch(url + path, { method: 'POST', headers, body: Buffer.from(body) })
    }
    const json = '{"grant_type":"authorization_code"}'
    const cases: [string, string, string | null, string, number][] = [
      ['JSON to the token endpoint', '/oauth/token', 'application/json', json, 415],
      ['no content type to the token endpoint', '/oauth/token', null, 'grant_type=x', 415],
      ['multipart', '/oauth/token', 'multipart/form-data; boundary=x', '--x--', 415],
      ['JSON to revoke', '/oauth/revoke', 'application/json', '{}', 415],
      ['a form to exchange', '/exchange', FORM, 'min_ttl=60', 415],
      ['text to exchange', '/exchange', 'text/plain', '{}', 415],
      ['XML to exchange', '/exchange', 'application/xml', '<a/>', 415],
      ['invalid JSON', '/exchange', 'application/json', '{"min_ttl"', 400],
      ['JSON with __proto__', '/exchange', 'application/json', '{"__proto__":{"force":true}}', 400],
      ['JSON to the consent page', '/oauth/authorize', 'application/json', json, 415],
      ['a large form', '/oauth/token', FORM, 'a='.padEnd(40_000, 'x'), 413],
      ['a large JSON', '/exchange', 'application/json', `{"a":"${'x'.repeat(40_000)}"}`, 413],
    ]
    for (const [title, path, type, body, status] of cases) {
      await t.test(title, async (t) => {
        hasChanged()
        const answer = await post(path, type, body)
        t.equal(answer.status, status)
        t.notMatch(await answer.text(), /\bat .+:\d+/, 'no stack trace')
        t.notOk(hasChanged())
      })
    }
    const wrongMethods: [string, string[], string][] = [
      ['/exchange', ['GET', 'PUT', 'DELETE', 'PATCH'], 'POST'],
      ['/oauth/token', ['GET', 'PUT', 'DELETE'], 'POST'],
      ['/oauth/revoke', ['GET', 'DELETE'], 'POST'],
      ['/oauth/authorize', ['PUT', 'DELETE'], 'GET'],
      ['/callback', ['POST', 'PUT'], 'GET'],
      ['/.well-known/jwks.json', ['POST'], 'GET'],
      ['/healthz', ['POST'], 'GET'],
    ]
    for (const [path, methods, allowed] of wrongMethods) {
      for (const method of methods) {
        await t.test(`${method} ${path}`, async (t) => {
          const answer = await fetch(url + path, { method })
          t.equal(answer.status, 405)
          t.match(answer.headers.get('allow'), allowed)
          t.match(await answer.json(), { error: 'invalid_request', error_description: /Use / })
        })
      }
    }
  })

  t.test('pages at wrong URLs and methods', async (t) => {
    const page = await new Visitor().open(`${url}/nothing`)
    t.equal(page.status, 404)
    t.match(page.body, 'Page not found')
    const home = await new Visitor().open(`${url}/`)
    t.equal(home.status, 200)
    t.match(home.body, 'Apps come here')
    const wrong = await new Visitor().open(`${url}/exchange`)
    t.equal(wrong.status, 405)
    t.match(wrong.body, 'This address has no page')
  })

  t.test('malformed URLs and unknown methods are not echoed', async (t) => {
    const { hostname, port } = new URL(url)
    const send = (line: string) =>
      new Promise<string>((resolve, reject) => {
        const socket = connect(Number(port), hostname, () => {
          socket.write(`${line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`)
        })
        let text = ''
        socket.on('data', (chunk: Buffer) => (text += chunk.toString()))
        socket.on('end', () => resolve(text)).on('error', reject)
      })
    const unreadable = await send('GET /connect/%E0%A4%A')
    t.match(unreadable, /^HTTP\/1\.1 400 /)
    t.match(unreadable, '"error":"invalid_request"')
    t.notMatch(unreadable, '%E0')
    const traced = await send('TRACE /some-path')
    t.match(traced, /^HTTP\/1\.1 404 /)
    t.match(traced, '"error":"invalid_request"')
    t.notMatch(traced, 'some-path')
  })

  t.test('forms without a body get a client error', async (t) => {
    for (const path of ['/oauth/authorize', '/device', '/oauth/token', '/oauth/revoke']) {
      const answer = await fetch(url + path, { method: 'POST', headers: { 'csrf-token': 'x' } })
      t.ok(answer.status >= 400 && answer.status < 500, `${path}: ${answer.status}`)
    }
  })
})
