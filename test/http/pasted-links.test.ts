import fc from 'fast-check'
import t from 'tap'
import { addApp, buildBroker, connect } from '../helper.ts'
import { cleanPastedUrl } from '../../server/http/plugins/pasted-urls.ts'
import { size } from '../size.ts'
import { Visitor } from '../visitor.ts'

const RUNS = Number(process.env.RUNS ?? size(300, 5000))

const ENDINGS = [
  ...[
    '/',
    '//',
    '.',
    ',',
    ';',
    ':',
    '!',
    '?',
    ')',
    ']',
    '>',
    '}',
    '"',
    "'",
    '’',
    '”',
    '»',
    '*',
    '_',
  ],
  ...[
    '%20',
    '%0A',
    '%0D%0A',
    '%09',
    '%C2%A0',
    '%E2%80%8B',
    ').',
    '>.',
    '/.',
    '%3E',
    '%29',
    '%22',
    '…',
  ],
  ...['。', '）', '`', '**', '\\', '|', '&gt;'.slice(0, 1), '/)', '%3E.', '-'],
]
const QUERIES = [
  ...[
    '?utm_source=mail&utm_medium=x',
    '/?utm_source=mail',
    '?utm_source=a&utm_source=b',
    '?fbclid=x',
  ],
  ...[
    '?&',
    '#top',
    '&utm_source=mail',
    '.?utm_source=mail',
    '?utm_source=mail.',
    '?=',
    '?a&a',
    '?%',
  ],
]

t.test('a connect link works as people paste it', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  for (const ending of [...ENDINGS, ...QUERIES]) {
    const page = await new Visitor().open(`${broker.url}/connect/${app.id}${ending}`)
    t.match(page, { status: 200, body: 'Continue to Ellipsis Drive' }, ending)
  }
  for (const beginning of [
    '/connect//',
    '//connect/',
    '/connect/%20',
    '/connect/%3C',
    '/connect/"',
  ]) {
    const page = await new Visitor().open(`${broker.url}${beginning}${app.id}`)
    t.match(page, { status: 200, body: 'Continue to Ellipsis Drive' }, beginning)
  }
  for (const wrong of [
    app.id.slice(0, -1),
    `${app.id}x`,
    `${app.id}/x`,
    `x${app.id}`,
    `${app.id}%41`,
  ]) {
    const page = await new Visitor().open(`${broker.url}/connect/${wrong}`)
    t.ok(page.status >= 400, wrong)
  }
  const { connectionId } = await connect(broker, app)
  for (const ending of ['', '.', ')', '%3E', '%20', '_', '&utm_source=a', '.&utm_source=a']) {
    const link = `${broker.url}/connect/${app.id}?connection=${connectionId}${ending}`
    const page = await new Visitor().open(link)
    t.match(page, { status: 200, body: 'Continue to Ellipsis Drive' }, ending)
  }
  const twice = await new Visitor().open(
    `${broker.url}/connect/${app.id}?scope=projects&scope=projects`,
    'https://',
  )
  t.match(new URL(twice.url).searchParams.get('error_description'), 'scope once')
})

t.test('the other pages that people paste', async (t) => {
  for (const basePath of ['', '/broker']) {
    const broker = await buildBroker(t, { basePath })
    const secret = (await broker.services.setup.invite())?.reveal() ?? ''
    const pages: [string, string][] = [
      ['/device', 'name="user_code"'],
      ['/admin/sign-in', 'name="password"'],
      ['/admin', 'name="password"'],
      ['/docs', 'Continue to Ellipsis Drive|/oauth/token'],
      [`/admin/setup/${secret}`, 'name="email"'],
    ]
    for (const [path, body] of pages) {
      for (const ending of ENDINGS) {
        const page = await new Visitor().open(broker.url + path + ending)
        t.match(page, { status: 200, body: new RegExp(body) }, path + ending)
      }
      const campaign = await new Visitor().open(`${broker.url}${path}/?utm_source=a&utm_source=b`)
      t.match(campaign, { status: 200, body: new RegExp(body) }, path)
    }
    const code = await new Visitor().open(`${broker.url}/device/?user_code=bcdf-ghjk.`)
    t.match(code.body, 'BCDF-GHJK')
    t.equal((await new Visitor().open(`${broker.url}/`)).status, 200)
    t.equal((await new Visitor().open(`${broker.url}/admin/users/`)).status, 200)
    t.equal((await fetch(`${broker.url}/oauth/token/`)).status, 405)
    t.equal((await new Visitor().open(`${broker.url}/admin/setup/${secret.slice(1)}`)).status, 404)
  }
})

t.test(`${RUNS} links in a text`, async (t) => {
  const around = fc.string({ maxLength: 12 }).filter((text) => !/[\p{L}\p{N}?&#_-]/u.test(text))
  const encoded = around.map((text) => encodeURIComponent(text.toWellFormed()))
  const id = fc.string({ unit: fc.constantFrom(...'aZ09_-'), minLength: 22, maxLength: 22 })
  const secret = fc.string({ unit: fc.constantFrom(...'aZ09_-'), minLength: 43, maxLength: 43 })
  const page = fc.oneof(
    id.map((id) => ['/connect/', `app_${id}`] as const),
    secret.map((secret) => ['/admin/setup/', secret] as const),
    fc.constantFrom(['', '/device'] as const, ['', '/admin'] as const, ['', '/docs'] as const),
  )
  const base = fc.constantFrom('', '/broker')
  fc.assert(
    fc.property(page, encoded, encoded, base, ([path, name], before, after, base) => {
      const start = path === '' ? '' : before
      return (
        cleanPastedUrl(`${base}${path}${start}${name}${after}?x=1`, base) ===
        `${base}${path}${name}?x=1`
      )
    }),
    { numRuns: RUNS },
  )
  fc.assert(
    fc.property(fc.oneof(fc.webPath(), fc.webUrl(), fc.string()), base, (url, base) => {
      const cleaned = cleanPastedUrl(url, base)
      return cleanPastedUrl(cleaned, base) === cleaned && cleaned.length <= url.length
    }),
    { numRuns: RUNS },
  )
  const start = performance.now()
  for (const path of ['/', '/connect/', '/admin/setup/', '/device', '/connect/x?connection=']) {
    for (const filler of ['/', '?', '.', '%', '%20', '&', '?connection=', 'app_']) {
      cleanPastedUrl(path + filler.repeat(16_384 / filler.length), '')
    }
  }
  t.ok(performance.now() - start < 1000, 'in linear time')
})
