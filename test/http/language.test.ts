import t from 'tap'
import { languageOfLocales, negotiateLanguage } from '../../server/http/plugins/language.ts'
import {
  addApp,
  addAppWithSecret,
  allow,
  authorizationRequest,
  buildBroker,
  postForm,
} from '../helper.ts'
import { signIn } from '../admin.ts'
import { Visitor } from '../visitor.ts'

t.test('Accept-Language decides by weight, then by order', async (t) => {
  const cases: [string | undefined, string][] = [
    [undefined, 'en'],
    ['', 'en'],
    ['de', 'de'],
    ['DE-at', 'de'],
    ['de-CH-1996, en', 'de'],
    ['nl;q=0.5, fr;q=0.9', 'fr'],
    ['nl, fr', 'nl'],
    ['nl;q=0, fr;q=0.1', 'fr'],
    ['pl, es;q=0.3, en;q=0.2', 'es'],
    ['pl', 'en'],
    ['pl, *', 'en'],
    ['en;q=0, *;q=0.5', 'nl'],
    ['*;q=0.1, de;q=0.2', 'de'],
    ['de;q=1.000', 'de'],
    ['de ; q=0.8 , fr ; q=0.9', 'fr'],
    ['de;q=2', 'en'],
    ['de;q=x, fr', 'fr'],
    ['den', 'en'],
    [`${'x'.repeat(2000)}, de`, 'en'],
    ['__proto__, constructor', 'en'],
  ]
  for (const [header, language] of cases)
    t.equal(negotiateLanguage(header), language, header ?? 'none')
})

t.test('ui_locales is a list in order of preference', async (t) => {
  for (const [locales, language] of [
    ['fr-CA fr en', 'fr'],
    ['pl de', 'de'],
    ['ES', 'es'],
    ['', null],
    ['pl', null],
  ] as const)
    t.equal(languageOfLocales(locales), language)
})

const LANGUAGES = {
  en: 'Continue to Ellipsis Drive',
  nl: 'Verder naar Ellipsis Drive',
  de: 'Weiter zu Ellipsis Drive',
  fr: 'Continuer vers Ellipsis Drive',
  es: 'Continuar a Ellipsis Drive',
}

t.test('pages are in the language of the browser, and say so', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  for (const [language, label] of Object.entries(LANGUAGES)) {
    const headers = { 'accept-language': `${language}-XX`, accept: 'text/html' }
    for (const path of [`/connect/${app.id}`, '/me']) {
      const page = await fetch(broker.url + path, { headers })
      const body = await page.text()
      t.match(body, `<html lang="${language}">`)
      t.match(body, `>${label}</button>`)
      t.equal(page.headers.get('content-language'), language)
      t.equal(page.headers.get('vary'), 'accept-language')
    }
  }
})

t.test('errors are translated, but not what is for developers or JSON', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const { url } = broker
  const get = async (path: string, init: RequestInit, language: string) => {
    const headers = { accept: 'text/html', 'accept-language': language, ...init.headers }
    const page = await fetch(url + path, { redirect: 'manual', ...init, headers })
    return { status: page.status, body: await page.text() }
  }
  const paragraphs = (body: string) =>
    [...body.matchAll(/<(p|h1)(?: role="alert")?>(.*?)<\/\1>/gs)].map(([, , text = '']) => text)
  const post = (body: string, origin = url): RequestInit => ({
    method: 'POST',
    body,
    headers: { 'content-type': 'application/x-www-form-urlencoded', origin },
  })
  const requests: [string, RequestInit?][] = [
    ['/connect/app_unknown'],
    ['/oauth/authorize'],
    [`/connect/${app.id}?redirect_uri=https://other.example/`],
    ['/callback?state=none&code=none'],
    ['/callback'],
    ['/none'],
    ['/oauth/token'],
    ['/device', post('a'.repeat(40_000))],
    ['/device', post('user_code=BBBBBBBB')],
    ['/oauth/authorize', post('decision=allow', 'https://evil.example')],
    ['/callback/account', post('decision=continue')],
    ['/device', { headers: { 'sec-fetch-dest': 'iframe' } }],
  ]
  for (const [path, init = {}] of requests) {
    const english = await get(path, init, 'en')
    for (const language of ['nl', 'de', 'fr', 'es']) {
      const translated = await get(path, init, language)
      const name = `${language} ${init.method ?? 'GET'} ${path}`
      t.equal(translated.status, english.status, name)
      const same = paragraphs(translated.body).filter((one) =>
        paragraphs(english.body).includes(one),
      )
      t.strictSame(same, [], name)
    }
  }
  const developer = await get('/oauth/authorize', {}, 'de')
  t.match(developer.body, '<p class="quiet" lang="en">For the developer of the app:')
  const json = await fetch(`${url}/exchange`, {
    method: 'POST',
    headers: { 'accept-language': 'de' },
  })
  t.match(((await json.json()) as { error_description: string }).error_description, 'broker token')
})

t.test('ui_locales takes precedence, until the flow ends', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const german = { headers: { 'accept-language': 'de' } }
  const visitor = new Visitor()
  const asked = await visitor.open(
    `${broker.url}/connect/${app.id}?ui_locales=pl+fr-CA`,
    undefined,
    german,
  )
  t.match(asked.body, '<html lang="fr">')
  const upstream = await visitor.press(asked, 'Continuer vers Ellipsis Drive')
  t.match((await allow(visitor, upstream, 'amelie')).body, 'Connexion établie')

  const unknown = `${broker.url}/connect/${app.id}?ui_locales=pl`
  t.match((await new Visitor().open(unknown, undefined, german)).body, '<html lang="de">')
  const { parameters } = authorizationRequest(app)
  const twice = new URLSearchParams([...Object.entries(parameters), ['ui_locales', 'fr']])
  twice.append('ui_locales', 'de')
  const repeated = await fetch(`${broker.url}/oauth/authorize?${twice}`, { redirect: 'manual' })
  t.match(repeated.headers.get('location'), 'error=invalid_request')

  const { app: pushing, clientSecret } = await addAppWithSecret(broker, { confidential: true })
  const pushed = await postForm(`${broker.url}/oauth/par`, {
    ...authorizationRequest(pushing, { ui_locales: 'nl' }).parameters,
    client_secret: clientSecret?.reveal() ?? '',
  })
  const query = { client_id: pushing.id, request_uri: String(pushed.body.request_uri) }
  const page = await new Visitor().open(
    `${broker.url}/oauth/authorize?${new URLSearchParams(query)}`,
  )
  t.match(page.body, '<html lang="nl">')
})

t.test('the dashboard and the reference stay English', async (t) => {
  const broker = await buildBroker(t)
  const admin = await signIn(broker)
  const german = { headers: { 'accept-language': 'de' } }
  for (const path of ['/admin', '/admin/users/none', '/docs'])
    t.match((await admin.open(broker.url + path, undefined, german)).body, '<html lang="en">')
  const signInPage = await new Visitor().open(`${broker.url}/admin/sign-in`, undefined, german)
  t.match(signInPage.body, '<html lang="en">')
  t.equal(signInPage.headers.get('content-language'), 'en')
  const metadata = await fetch(`${broker.url}/.well-known/openid-configuration`)
  t.match(await metadata.json(), { ui_locales_supported: Object.keys(LANGUAGES) })
})
