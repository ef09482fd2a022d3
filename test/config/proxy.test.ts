import fc from 'fast-check'
import t from 'tap'
import { ConfigError, loadConfig } from '../../server/config/config.ts'
import { describeProxy } from '../../server/config/proxy.ts'
import { size } from '../size.ts'

const PROXY = 'http://proxy.example.com:3128/'

/** The proxy for calls to that API, in that environment. */
const proxyFor = (apiUrl: string, env: Record<string, string>) =>
  loadConfig({ ELLIPSIS_API_URL: apiUrl, ...env }).proxy?.reveal() ?? null

t.test('NO_PROXY names hosts, domains, addresses, networks and ports', async (t) => {
  const cases: [string, string, boolean][] = [
    ['', 'https://api.example.com', true],
    ['*', 'https://api.example.com', false],
    ['other.example, *', 'https://api.example.com', false],
    ['api.example.com', 'https://api.example.com', false],
    ['API.Example.COM', 'https://api.example.com', false],
    ['api.example.com.', 'https://api.example.com', false],
    ['example.com', 'https://api.example.com', false],
    ['.example.com', 'https://api.example.com', false],
    ['*.example.com', 'https://api.example.com', false],
    ['example.com', 'https://badexample.com', true],
    ['api', 'https://api.example.com', true],
    ['a.example b.example', 'https://b.example', false],
    ['api.example.com:443', 'https://api.example.com', false],
    ['api.example.com:8443', 'https://api.example.com', true],
    ['api.example.com:8443', 'https://api.example.com:8443', false],
    ['10.1.2.3', 'https://10.1.2.3', false],
    ['10.0.0.0/8', 'https://10.1.2.3', false],
    ['10.0.0.0/8', 'https://11.1.2.3', true],
    ['10.0.0.0/8', 'https://api.example.com', true],
    ['2001:db8::1', 'https://[2001:db8::1]', false],
    ['[2001:db8::1]', 'https://[2001:db8::1]', false],
    ['[2001:db8::1]:443', 'https://[2001:db8::1]', false],
    ['2001:db8::/32', 'https://[2001:db8::1]', false],
    [',, ,', 'https://api.example.com', true],
  ]
  for (const [noProxy, apiUrl, isUsed] of cases) {
    for (const name of ['NO_PROXY', 'no_proxy']) {
      const proxy = proxyFor(apiUrl, { HTTPS_PROXY: PROXY, [name]: noProxy })
      t.equal(proxy, isUsed ? PROXY : null, `${name}=${noProxy}, ${apiUrl}`)
    }
  }
})

t.test('this machine needs no proxy', async (t) => {
  const hosts = ['localhost', 'api.localhost', '127.0.0.1', '127.9.9.9', '[::1]']
  for (const host of hosts) t.equal(proxyFor(`http://${host}:1`, { HTTP_PROXY: PROXY }), null)
})

t.test('a proxy is written as other programs take it', async (t) => {
  const written: [string, string][] = [
    ['proxy.example.com:3128', PROXY],
    [' http://proxy.example.com:3128 ', PROXY],
    ['HTTP://PROXY.example.com:3128/', PROXY],
    ['https://proxy.example.com', 'https://proxy.example.com/'],
    ['user:pass@proxy.example.com:3128', 'http://user:pass@proxy.example.com:3128/'],
    ['10.0.0.1', 'http://10.0.0.1/'],
    ['[2001:db8::1]:3128', 'http://[2001:db8::1]:3128/'],
  ]
  for (const [value, url] of written) {
    t.equal(proxyFor('https://api.example.com', { HTTPS_PROXY: value }), url)
  }
  const { proxy } = loadConfig({ HTTPS_PROXY: 'user:pass@proxy.example.com:3128' })
  t.equal(proxy && describeProxy(proxy), 'http://proxy.example.com:3128')
})

t.test('any environment gives a proxy, none, or an error that repeats no value', async (t) => {
  const names = ['HTTPS_PROXY', 'https_proxy', 'NO_PROXY', 'no_proxy', 'HTTP_PROXY']
  const value = fc.oneof(
    fc.string(),
    fc.webUrl(),
    fc.constantFrom('*', '10.0.0.0/8', '[::1]', '::/0', 'socks5://x:1', 'a:b@c:1', ':', '['),
  )
  const environment = fc.dictionary(fc.constantFrom(...names), value)
  const numRuns = Number(process.env.RUNS ?? size(300, 5000))
  const property = fc.property(environment, (env) => {
    try {
      return proxyFor('https://api.example.com', env) !== undefined
    } catch (error) {
      const { problems } = error as ConfigError
      return (
        error instanceof ConfigError && problems.every(({ name }) => /^https_proxy$/i.test(name))
      )
    }
  })
  t.doesNotThrow(() => fc.assert(property, { numRuns }))
})
