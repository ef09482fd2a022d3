import t from 'tap'
import {
  findRedirectUri,
  isClaimable,
  originOf,
  originProblem,
  redirectUriProblem,
  withResponse,
} from '../../server/oauth/redirect-uri.ts'

t.test('redirect URIs that may be registered', async (t) => {
  for (const uri of [
    'https://app.example.com/return',
    'https://app.example.com',
    'https://app.example.com/?page=1',
    'http://127.0.0.1/return',
    'http://[::1]:8000/return',
    'http://localhost:5173/',
    'com.example.app:/return',
    'com.example.app://return',
    'com.example.app:return',
    'http://127.0.0.1:0/',
    'https://app.example.com:8443/a%20b/?x=%7E',
    'https://xn--nxa.example/',
  ]) {
    t.equal(redirectUriProblem(uri), null, uri)
  }
})

t.test('redirect URIs that may not be registered', async (t) => {
  const cases: [string, RegExp][] = [
    ['nonsense', /absolute/],
    ['/return', /absolute/],
    ['https://app.example.com/ü', /ASCII/],
    ['https://app.example.com/ a', /ASCII/],
    [`https://app.example.com/${'x'.repeat(500)}`, /500/],
    ['https://app.example.com/#here', /fragment/],
    ['https://app.example.com/#', /fragment/],
    ['https://me:pw@app.example.com/', /user info/],
    ['https://@app.example.com/', /user info/],
    ['https://app.example.com/?state=1', /parameters/],
    ['http://app.example.com/', /http/],
    ['javascript:alert(1)', /scheme/],
    ['myapp:/return', /scheme/],
    ['https:evil.com', /write it as https:\/\/evil.com\/$/],
    ['https:\\\\evil.com/x', /write it as https:\/\/evil.com\/x$/],
    ['https:/evil.com/x', /write it as https:\/\/evil.com\/x$/],
    ['https:////evil.com/x', /write it as/],
    ['HTTPS://evil.com/', /write it as https:/],
    ['https://EVIL.com/', /write it as https:\/\/evil.com\/$/],
    ['https://evil.com:443/', /write it as https:\/\/evil.com\/$/],
    ['https://evil.com/a/../b', /write it as https:\/\/evil.com\/b$/],
    ['https://evil.com/a/%2e%2e/b', /write it as https:\/\/evil.com\/b$/],
    ['https://evil.com\\@good.example/', /user info|write it as/],
    ['http://0x7f000001/', /write it as http:\/\/127.0.0.1\/$/],
    ['http://2130706433/', /write it as http:\/\/127.0.0.1\/$/],
    ['http://127.1/', /write it as http:\/\/127.0.0.1\/$/],
    ['http://[0:0:0:0:0:0:0:1]/', /write it as http:\/\/\[::1\]\/$/],
    ['http:localhost/', /write it as http:\/\/localhost\/$/],
    ['COM.example.app:/return', /write it as com.example.app:\/return$/],
  ]
  for (const [uri, problem] of cases) t.match(redirectUriProblem(uri), problem, uri)
})

t.test('a redirect URI must match exactly', async (t) => {
  const registered = ['https://app.example.com/return', 'com.example.app:/return']
  t.equal(findRedirectUri(registered, registered[0] ?? ''), registered[0])
  for (const requested of [
    'https://APP.example.com/return',
    'https://app.example.com/return/',
    'https://app.example.com:443/return',
    'https://app.example.com/%72eturn',
    'https://me@app.example.com/return',
    'https://app.example.com/return?more=1',
    'https://app.example.com/return#',
    'https://app.example.com/../return',
    'com.example.app:/return2',
  ]) {
    t.equal(findRedirectUri(registered, requested), undefined, requested)
  }
})

t.test('the port of a loopback address may differ', async (t) => {
  const registered = ['http://127.0.0.1/return', 'http://[::1]:1/x?y=1', 'http://localhost/return']
  for (const requested of ['http://127.0.0.1:50000/return', 'http://[::1]/x?y=1']) {
    t.equal(findRedirectUri(registered, requested), requested)
  }
  for (const requested of [
    'http://localhost:50000/return',
    'http://127.0.0.1:70000/return',
    'http://127.0.0.1:/return',
    'http://127.0.0.1.example.com/return',
    'http://127.0.0.1:80@example.com/return',
    'https://127.0.0.1:50000/return',
    'http://127.0.0.1:50000/return/',
  ]) {
    t.equal(findRedirectUri(registered, requested), undefined, requested)
  }
})

t.test('isClaimable: redirect URIs that another program could receive', async (t) => {
  t.equal(isClaimable('https://app.example.com/'), false)
  t.equal(isClaimable('http://127.0.0.1/'), true)
  t.equal(isClaimable('com.example.app:/'), true)
})

t.test('origins', async (t) => {
  t.equal(originOf('https://app.example.com:8443/x'), 'https://app.example.com:8443')
  t.equal(originOf('com.example.app:/x'), null)
  t.equal(originProblem('https://app.example.com'), null)
  for (const wrong of ['*', 'null', 'https://app.example.com/', 'app.example.com', 'HTTPS://A.b']) {
    t.ok(originProblem(wrong), wrong)
  }
})

t.test('response parameters go into the query or the fragment', async (t) => {
  t.equal(withResponse('https://a.b/c', { code: 'x y', state: null }), 'https://a.b/c?code=x+y')
  t.equal(withResponse('https://a.b/?d=1', { code: 'x' }), 'https://a.b/?d=1&code=x')
  t.equal(withResponse('https://a.b/', { n: 1, z: undefined }, true), 'https://a.b/#n=1')
})
