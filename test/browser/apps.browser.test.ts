import t from 'tap'
import { confirm, enter, walk } from './admin-browser.ts'
import { connect, exchange, postForm, RETURN } from '../helper.ts'
import type { TestBroker } from '../helper.ts'

/** Does the token endpoint know the app by that secret? */
async function isAccepted(broker: TestBroker, id: string, secret: string): Promise<boolean> {
  const fields = { grant_type: 'authorization_code', code: 'x', code_verifier: 'x' }
  const own = { client_id: id, client_secret: secret }
  const { body } = await postForm(`${broker.url}/oauth/token`, { ...fields, ...own })
  return body.error === 'invalid_grant'
}

walk(t, 'a confidential app, and its secrets', async (t, desk) => {
  const { broker, page, javaScriptEnabled } = desk
  await enter(desk, '/apps')
  await page.getByRole('link', { name: 'Register an app' }).click()
  await page.getByLabel('Name').fill('Nightly report')
  await page.getByLabel('On a server of yours').check()
  const uris = page.getByLabel('Redirect URIs')
  await uris.fill('http://report.example.com/')
  const wrong = page.getByText('http://report.example.com/ is http: use https').first()
  if (javaScriptEnabled) {
    await wrong.waitFor()
    t.equal(await uris.getAttribute('aria-invalid'), 'true', 'said while one types')
  }
  await page.getByRole('button', { name: 'Register this app' }).click()
  await page.getByRole('alert').waitFor()
  t.ok(await wrong.isVisible())
  t.ok(await page.getByLabel('On a server of yours').isChecked(), 'what was chosen is kept')
  await uris.fill(RETURN)
  await page.getByRole('button', { name: 'Register this app' }).click()
  const secret = page.locator('#secret')
  const first = await secret.innerText()
  await page.getByRole('link', { name: 'I have it' }).click()
  const [app] = await broker.services.apps.list()
  const id = app?.id ?? ''
  t.notMatch(await page.content(), first)
  t.ok(await isAccepted(broker, id, first))

  await page.getByRole('link', { name: 'Make a new secret…' }).click()
  await page.getByLabel('The old secret is accepted for').selectOption('one day')
  await page.getByRole('button', { name: 'Make a new secret' }).click()
  const second = await secret.innerText()
  t.ok((await isAccepted(broker, id, first)) && (await isAccepted(broker, id, second)), 'overlap')
  await page.getByRole('link', { name: 'I have it' }).click()
  const said = await confirm(page, 'End the old one now…', 'End the old secret')
  t.match(said, 'only the newest secret is accepted')
  t.notOk(await isAccepted(broker, id, first))
  t.ok(await isAccepted(broker, id, second))
})

walk(t, 'a public app: registered, edited, and removed', async (t, desk) => {
  const { broker, page } = desk
  await enter(desk, '/apps/new')
  await page.getByLabel('Name').fill('Flood map')
  await page.getByLabel('Redirect URIs').fill(RETURN)
  await page.getByRole('button', { name: 'Register this app' }).click()
  await page.getByRole('heading', { name: 'Flood map' }).waitFor()
  const code = await page.getByRole('region', { name: 'curl' }).innerText()
  t.match(code, broker.url)
  t.match(code, '/exchange')

  await page.getByRole('link', { name: 'Edit' }).click()
  await page.getByLabel('Name').fill('Storm map')
  await page.getByRole('button', { name: 'Save' }).click()
  await page.getByRole('heading', { name: 'Storm map' }).waitFor()

  const [app] = await broker.services.apps.list()
  if (!app) throw new Error('no app')
  const { brokerToken } = await connect(broker, app)
  t.equal((await exchange(broker, brokerToken)).status, 200)
  const said = await confirm(page, 'Remove…', 'Remove this app')
  t.match(said, '1 user is cut off in it, on every device')
  await page.getByText('Nothing is handed out to it any more').waitFor()
  t.equal((await exchange(broker, brokerToken)).status, 401)
  await page.getByRole('heading', { name: 'No app yet' }).waitFor()
})
