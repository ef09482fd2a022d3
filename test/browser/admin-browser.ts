import type { Browser, BrowserContext, Page } from 'playwright-core'
import type { Test } from 'tap'
import { PASSWORD, signInBrowser } from '../admin.ts'
import { launch, noBrowser, visit } from './chromium.ts'
import { buildBroker } from '../helper.ts'
import type { TestBroker } from '../helper.ts'

export const EMAIL = 'ada@example.com'

/** An admin's browser and its broker. */
export interface AdminBrowser {
  broker: TestBroker
  browser: Browser
  context: BrowserContext
  page: Page
  javaScriptEnabled: boolean
}

/** Runs a test in a real browser twice: with and without JavaScript. */
export function testInBrowser(
  t: Test,
  name: string,
  steps: (t: Test, admin: AdminBrowser) => Promise<unknown>,
) {
  for (const javaScriptEnabled of [true, false]) {
    const title = `${name}, JavaScript ${javaScriptEnabled ? 'on' : 'off'}`
    t.test(title, { skip: noBrowser }, async (t) => {
      const [broker, browser] = [await buildBroker(t), await launch(t)]
      const context = await visit(t, browser, { javaScriptEnabled })
      const page = await context.newPage()
      await steps(t, { broker, browser, context, page, javaScriptEnabled })
    })
  }
}

/** Signs in and opens a page of the dashboard. */
export async function openDashboard(
  { broker, context, page }: AdminBrowser,
  path: string,
): Promise<void> {
  await signInBrowser(broker, context, { email: EMAIL })
  await page.goto(`${broker.url}/admin${path}`)
}

/** Fills in the sign-in form. */
export async function fillSignInForm(page: Page): Promise<void> {
  await page.getByLabel('E-mail address').fill(EMAIL)
  await page.getByLabel('Password').fill(PASSWORD)
  await page.getByRole('button', { name: 'Sign in', exact: true }).click()
}

/** Opens a confirmation page and confirms. Returns the text of the confirmation page. */
export async function confirm(page: Page, link: string, button: string): Promise<string> {
  await page.getByRole('link', { name: link }).click()
  const confirmButton = page.getByRole('button', { name: button, exact: true })
  await confirmButton.waitFor()
  const text = await page.getByRole('main').innerText()
  await confirmButton.click()
  await page.getByRole('status').first().waitFor()
  return text
}
