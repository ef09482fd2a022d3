import t from 'tap'
import { confirm, openDashboard, testInBrowser } from './admin-browser.ts'
import { connect, exchange, RETURN } from '../helper.ts'
import { isSecretAccepted } from '../http/routes/admin/dashboard.ts'

testInBrowser(
  t,
  'a confidential app: registered, its secret rotated and revoked',
  async (t, admin) => {
    const { broker, page, javaScriptEnabled } = admin
    await openDashboard(admin, '/apps')
    await page.getByRole('link', { name: 'Register an app' }).click()
    await page.getByLabel('Name').fill('Nightly report')
    await page.getByLabel('Confidential').check()
    const uris = page.getByLabel('Redirect URIs')
    await uris.fill('http://report.example.com/')
    const wrong = page.getByText('http://report.example.com/ is http: use https').first()
    if (javaScriptEnabled) {
      await wrong.waitFor()
      t.equal(await uris.getAttribute('aria-invalid'), 'true', 'checked while typing')
    }
    await page.getByRole('button', { name: 'Register app' }).click()
    await page.getByRole('alert').waitFor()
    t.ok(await wrong.isVisible())
    t.ok(await page.getByLabel('Confidential').isChecked(), 'the input is kept')
    await uris.fill(RETURN)
    await page.getByRole('button', { name: 'Register app' }).click()
    const secret = page.locator('#secret')
    const first = await secret.innerText()
    await page.getByRole('link', { name: 'I have saved it' }).click()
    const [app] = await broker.services.apps.list()
    const id = app?.id ?? ''
    t.notMatch(await page.content(), first)
    t.ok(await isSecretAccepted(broker, id, first))

    await page.getByRole('link', { name: 'Rotate secret…' }).click()
    await page.getByLabel('Old secret stays valid for').selectOption('1 day')
    await page.getByRole('button', { name: 'Rotate secret' }).click()
    const second = await secret.innerText()
    t.ok(
      (await isSecretAccepted(broker, id, first)) && (await isSecretAccepted(broker, id, second)),
      'overlap',
    )
    await page.getByRole('link', { name: 'I have saved it' }).click()
    const text = await confirm(page, 'Revoke old secret…', 'Revoke old secret')
    t.match(text, 'only the newest secret is valid')
    t.notOk(await isSecretAccepted(broker, id, first))
    t.ok(await isSecretAccepted(broker, id, second))
  },
)

testInBrowser(t, 'a public app: registered, edited, and removed', async (t, admin) => {
  const { broker, page } = admin
  await openDashboard(admin, '/apps/new')
  await page.getByLabel('Name').fill('Flood map')
  await page.getByLabel('Redirect URIs').fill(RETURN)
  await page.getByRole('button', { name: 'Register app' }).click()
  await page.getByRole('heading', { name: 'Flood map' }).waitFor()
  const code = await page.getByRole('region', { name: 'Browser SDK' }).innerText()
  t.match(code, broker.url)
  t.match(code, 'createClient')

  await page.getByRole('link', { name: 'Edit' }).click()
  await page.getByLabel('Name').fill('Storm map')
  await page.getByRole('button', { name: 'Save' }).click()
  await page.getByRole('heading', { name: 'Storm map' }).waitFor()

  const [app] = await broker.services.apps.list()
  if (!app) throw new Error('no app')
  const { brokerToken } = await connect(broker, app)
  t.equal((await exchange(broker, brokerToken)).status, 200)
  const text = await confirm(page, 'Remove…', 'Remove app')
  t.match(text, '1 user loses access on all devices')
  await page.getByText('It gets no more tokens').waitFor()
  t.equal((await exchange(broker, brokerToken)).status, 401)
  await page.getByRole('heading', { name: 'No apps yet' }).waitFor()
})
