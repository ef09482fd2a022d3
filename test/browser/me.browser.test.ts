import { readFile } from 'node:fs/promises'
import type { Page } from 'playwright-core'
import t from 'tap'
import { addApp, buildBroker, connect, exchange } from '../helper.ts'
import { LANGUAGES, translators } from '../../views/translate.ts'
import { findWideElements } from './axe.ts'
import { launch, noBrowser, visit } from './chromium.ts'

/** Signs in at the stand-in, and allows if asked. */
async function answer(page: Page, button: string, end: string) {
  await page.getByRole('button', { name: button }).click()
  const [user, allow] = [/^Log in as Amelie/, 'Allow'].map((name) =>
    page.getByRole('button', { name }),
  )
  const heading = page.getByRole('heading', { name: end, exact: true })
  if (!user || !allow) return
  await user.or(allow).or(heading).waitFor()
  if (await user.isVisible()) await user.click()
  await allow.or(heading).waitFor()
  if (await allow.isVisible()) await allow.click()
  await heading.waitFor()
}

for (const javaScriptEnabled of [true, false]) {
  const title = `from the consent page to /me and out, JavaScript ${javaScriptEnabled ? 'on' : 'off'}`
  t.test(title, { skip: noBrowser }, async (t) => {
    const broker = await buildBroker(t)
    const app = await addApp(broker, { name: 'Flood map' })
    const { brokerToken } = await connect(broker, app)
    const context = await visit(t, await launch(t), { javaScriptEnabled })
    const page = await context.newPage()
    await page.goto(`${broker.url}/connect/${app.id}`)
    await page.getByRole('link', { name: 'Your connections' }).click()
    await answer(page, 'Continue to Ellipsis Drive', 'Everything')
    await page.getByText('Signed in as amelie').waitFor()
    t.match(await page.locator('time').allTextContents(), ['now', /^in\s\d+\sdays$/])

    const waiting = page.waitForEvent('download')
    await page.getByRole('link', { name: 'Download what is stored (JSON)' }).click()
    const file = await readFile(await (await waiting).path(), 'utf8')
    t.match(JSON.parse(file), { account: { username: 'amelie' } })

    await page.getByRole('link', { name: 'Disconnect Flood map', exact: true }).click()
    await page.getByText('Other apps keep working.').waitFor()
    await page.getByRole('link', { name: 'Cancel' }).click()
    t.equal((await exchange(broker, brokerToken)).status, 200)
    await page.getByRole('link', { name: 'Disconnect Flood map', exact: true }).click()
    await page.getByRole('button', { name: 'Disconnect' }).click()
    await page.getByRole('status').getByText('The app is disconnected.').waitFor()
    t.equal((await exchange(broker, brokerToken)).status, 401)

    await page.getByRole('link', { name: 'Erase what is stored' }).click()
    await page.getByRole('button', { name: 'Erase what is stored' }).click()
    await page.getByText('What was stored about you is erased.').waitFor()
    await page.getByRole('button', { name: 'Sign out' }).click()
    await page.getByText('You are signed out here.').waitFor()
    await page.goBack()
    await page.goto(`${broker.url}/me`)
    await page.getByRole('button', { name: 'Continue to Ellipsis Drive' }).waitFor()
    t.strictSame(await context.cookies().then((all) => all.filter(({ name }) => name === 'me')), [])
  })
}

t.test('no language widens a page on a phone', { skip: noBrowser }, async (t) => {
  const broker = await buildBroker(t)
  const settings = {
    access: 'proxy' as const,
    grantLifetimeSeconds: 90 * 86_400,
    allow: ['GET /path/*/raster/**'],
  }
  const app = await addApp(broker, { name: 'Donaudampfschifffahrtskarte', ...settings })
  await connect(broker, app)
  for (const locale of LANGUAGES) {
    const viewport = { width: 390, height: 900 }
    const context = await visit(t, await launch(t), { locale, viewport })
    const page = await context.newPage()
    const { text } = translators[locale]
    const check = async (name: string) => {
      t.strictSame(await page.evaluate(findWideElements), [], `${locale} ${name}`)
      t.equal(await page.evaluate('document.documentElement.lang'), locale, name)
    }
    for (const path of ['/', '/device', `/connect/${app.id}`, '/connect/app_none', '/none']) {
      await page.goto(broker.url + path)
      await check(path)
    }
    await page.goto(`${broker.url}/connect/${app.id}`)
    await answer(page, text('consent.continue'), text('connected.title'))
    await check('connected')
    await page.goto(`${broker.url}/me`)
    await check('/me, signed out')
    await answer(page, text('consent.continue'), text('me.everything'))
    await check('/me')
    await page.getByRole('link', { name: text('me.erase') }).click()
    await page.getByRole('heading', { name: text('me.askErase') }).waitFor()
    await check('/me/erase')
    await context.close()
  }
})
