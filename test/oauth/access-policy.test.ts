import fc from 'fast-check'
import t from 'tap'
import type { AccessPolicy } from '../../db/store.ts'
import { readDrivePath } from '../../server/drive/path.ts'
import type { DrivePath } from '../../server/drive/path.ts'
import { isAllowed, isProxyOnly, policyOf, ruleProblem } from '../../server/oauth/access-policy.ts'
import { API, hostilePaths, pathsOf, readByHand } from '../drive/hostile-paths.ts'
import { size } from '../size.ts'

const everything: AccessPolicy = { access: 'token', readOnly: false, allow: [] }
const proxy: AccessPolicy = { ...everything, access: 'proxy' }

/** May an app with this policy, whose user allowed everything, send the request? */
const allows = (policy: Partial<AccessPolicy>, method: string, path: string): boolean =>
  isAllowed({ app: { ...proxy, ...policy }, granted: null }, method, readDrivePath(path))

t.test('a rule names a method and a path', async (t) => {
  const cases: [rule: string, method: string, path: string, isMatch: boolean][] = [
    ['GET /path/*/raster/**', 'GET', '/path/1/raster', true],
    ['GET /path/*/raster/**', 'HEAD', '/path/1/raster/a/b', true],
    ['GET /path/*/raster/**', 'GET', '/path/a%20b/r%61ster?x=1', true],
    ['GET /path/*/raster/**', 'POST', '/path/1/raster', false],
    ['GET /path/*/raster/**', 'GET', '/path/1/2/raster', false],
    ['GET /path/*/raster/**', 'GET', '/path/raster', false],
    ['GET /path/*/raster/**', 'GET', '/path/1/rasters', false],
    ['GET /path/*/raster/**', 'GET', '/path/1/Raster', false],
    ['GET /path/*/raster/**', 'GET', '/PATH/1/raster', false],
    ['HEAD /a', 'HEAD', '/a', true],
    ['HEAD /a', 'GET', '/a', false],
    ['* /a/*', 'DELETE', '/a/b', true],
    ['* /a/*', 'DELETE', '/a', false],
    ['* /a/*', 'DELETE', '/a/b/c', false],
    ['GET /**', 'GET', '/', true],
    ['GET /**', 'GET', '/a/b', true],
    ['GET /', 'GET', '/', true],
    ['GET /', 'GET', '/a', false],
    ['GET /%2A', 'GET', '/*', true],
    ['GET /%2A', 'GET', '/a', false],
    ['GET /caf%C3%A9', 'GET', '/caf%c3%a9', true],
    ['not a rule', 'GET', '/a', false],
  ]
  for (const [rule, method, path, isMatch] of cases) {
    t.equal(allows({ allow: [rule] }, method, path), isMatch, `${rule}: ${method} ${path}`)
  }
  t.ok(allows({ allow: ['GET /a', 'GET /b'] }, 'GET', '/b'), 'one rule is enough')
  t.ok(allows({ allow: [] }, 'DELETE', '/b'), 'without rules, everything')
})

t.test('what is wrong with a rule is said', async (t) => {
  for (const rule of ['GET /path/*/raster/**', '* /**', 'DELETE /a/%2A', 'GET /']) {
    t.equal(ruleProblem(rule), null, rule)
  }
  for (const [rule, problem] of [
    ['', 'METHOD /path/pattern'],
    ['GET', 'METHOD /path/pattern'],
    ['get /a', 'in capitals'],
    ['GET  /a', 'METHOD /path/pattern'],
    ['OPTIONS /a', 'METHOD /path/pattern'],
    ['GET /a?x=1', 'METHOD /path/pattern'],
    ['GET a', 'METHOD /path/pattern'],
    ['GET /a*', 'a whole segment'],
    ['GET /a/**/b', '** only at the end'],
    ['GET /***', 'a whole segment'],
    ['GET /a/', 'no empty segment'],
    ['GET /a//**', 'no empty segment'],
    ['GET /a/../**', 'no segment of dots'],
    ['GET /café', 'Percent-encode'],
  ] as const) {
    t.ok(ruleProblem(rule)?.includes(problem), `${rule}: ${ruleProblem(rule)}`)
  }
})

t.test('read-only apps read', async (t) => {
  const reads = (method: string, path: string) => allows({ readOnly: true }, method, path)
  for (const path of [
    '/path/1',
    '/ogc/wms/1?REQUEST=GetMap',
    '/ogc/wfs/1?request=describeFeatureType',
    '/ogc/wfs/1',
  ]) {
    t.ok(reads('GET', path), path)
    t.ok(reads('HEAD', path), path)
    for (const method of ['POST', 'PUT', 'PATCH', 'DELETE', 'get', 'OPTIONS']) {
      t.notOk(reads(method, path), `${method} ${path}`)
    }
  }
  for (const query of [
    ...[
      'request=Transaction',
      'REQUEST=transaction',
      're%71uest=Transaction',
      'request[]=Transaction',
    ],
    ...['request=GetFeature&Request=Transaction', 'request=Trans%2561ction', 'request=LockFeature'],
    ...[
      'request=GetFeatureWithLock',
      'x=1;request=Transaction',
      'request=',
      'request=Get+Transaction',
    ],
  ]) {
    t.notOk(reads('GET', `/ogc/wfs/1?${query}`), query)
    t.notOk(reads('GET', `/OGC/wfs/1?${query}`), query)
    t.notOk(allows({ allow: ['GET /**'] }, 'GET', `/ogc/wfs/1?${query}`), 'a rule that reads')
    t.ok(allows({ allow: ['* /**'] }, 'GET', `/ogc/wfs/1?${query}`), 'a rule that changes')
    t.ok(allows({}, 'GET', `/ogc/wfs/1?${query}`), 'an app without limits')
  }
  t.notOk(allows({ readOnly: true, allow: ['* /**'] }, 'POST', '/path'), 'both apply')
  t.notOk(allows({ readOnly: true, allow: ['GET /a'] }, 'GET', '/path'), 'both apply')
})

t.test('an app without tokens does not get one through the proxy', async (t) => {
  for (const path of [
    '/account/security/accessToken',
    '/account/security',
    '/Account/Security/x',
    '/oauth/token',
    '/OAuth/authorize',
    '/oauth',
  ]) {
    for (const method of ['GET', 'POST', 'DELETE']) {
      t.notOk(allows({}, method, path), `${method} ${path}`)
      t.notOk(allows({ allow: ['* /**'] }, method, path), `${method} ${path}`)
      const granted = { app: everything, granted: proxy }
      t.notOk(isAllowed(granted, method, readDrivePath(path)), 'the user allowed no tokens')
      t.ok(isAllowed({ app: everything, granted: null }, method, readDrivePath(path)))
    }
  }
  t.ok(allows({}, 'GET', '/account'))
  t.ok(allows({}, 'GET', '/account/root/myDrive'))
})

t.test('both the app’s policy and the grant’s hold', async (t) => {
  const path = readDrivePath('/path/1')
  const readOnly = { ...proxy, readOnly: true }
  t.notOk(isAllowed({ app: readOnly, granted: proxy }, 'PUT', path), 'narrowed')
  t.notOk(isAllowed({ app: proxy, granted: readOnly }, 'PUT', path), 'widened')
  t.notOk(isAllowed({ app: everything, granted: readOnly }, 'PUT', path), 'widened to tokens')
  t.ok(isAllowed({ app: proxy, granted: null }, 'PUT', path))
  t.notOk(
    isAllowed(
      { app: { ...proxy, allow: ['GET /path/1'] }, granted: { ...proxy, allow: ['GET /path/2'] } },
      'GET',
      path,
    ),
  )
  t.ok(isProxyOnly({ app: everything, granted: proxy }))
  t.ok(isProxyOnly({ app: proxy, granted: null }))
  t.notOk(isProxyOnly({ app: everything, granted: null }))
  t.equal(policyOf(everything), null)
  t.same(policyOf(readOnly), readOnly)
})

/** What the methods of rules stand for. */
const METHODS: Record<string, string[]> = {
  GET: ['GET', 'HEAD'],
  '*': ['GET', 'HEAD', 'POST', 'DELETE'],
}

const rules = fc.tuple(
  fc.constantFrom('GET', 'HEAD', 'POST', 'DELETE', '*'),
  fc.array(fc.constantFrom('path', 'raster', 'a%20b', '*', '*', 'x%2Ay', '%2A'), { maxLength: 4 }),
  fc.boolean(),
)

t.test('no path gets past a rule', async (t) => {
  const seen = { allowed: 0, refused: 0 }
  const request = fc.tuple(
    fc.constantFrom('GET', 'HEAD', 'POST', 'DELETE'),
    fc.oneof(hostilePaths, pathsOf(hostilePaths), pathsOf(hostilePaths)),
  )
  fc.assert(
    fc.property(request, rules, ([method, raw], [ruleMethod, pattern, isPrefix]) => {
      let path: DrivePath
      try {
        path = readDrivePath(raw)
      } catch {
        return
      }
      const rest = isPrefix ? ['**'] : []
      const allow = [`${ruleMethod} /${[...pattern, ...rest].join('/')}`]
      // The operations of OGC services have a test of their own.
      if (/^ogc$/i.test(path.segments[0] ?? '') && path.query !== '') return
      const isOk = isAllowed({ app: { ...proxy, allow }, granted: null }, method, path)
      seen[isOk ? 'allowed' : 'refused']++
      // What Ellipsis Drive receives, compared with the rule by a regular expression over JSON.
      const received = readByHand(new URL(API + path.path + path.query))
      const expected = pattern.map((one) =>
        one === '*' ? '"[^"]*"' : quote(decodeURIComponent(one)),
      )
      const list = expected.map((one) => `,${one}`).join('')
      const matcher = new RegExp(`^${list}${isPrefix ? '(,"[^"]*")*' : ''}$`)
      const text = received.map((one) => `,"${one.replaceAll('"', "'")}"`).join('')
      const [first = '', second = ''] = received
      const givesTokens =
        /^oauth$/i.test(first) || /^account\/security$/i.test(`${first}/${second}`)
      const isExpected =
        matcher.test(text) && (METHODS[ruleMethod] ?? [ruleMethod]).includes(method) && !givesTokens
      if (isOk !== isExpected)
        throw new Error(`${allow.join()} for ${method} ${received.join('|')}`)
    }),
    { numRuns: size(30_000, 300_000) },
  )
  t.ok(seen.allowed > 1000 && seen.refused > 1000, JSON.stringify(seen))
})

const quote = (segment: string): string => `"${segment.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')}"`
