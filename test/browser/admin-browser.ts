import type { Browser, BrowserContext, Page } from 'playwright-core'
import type { Test } from 'tap'
import { PASSWORD, signInBrowser } from '../admin.ts'
import { launch, noBrowser, visit } from './chromium.ts'
import { buildBroker } from '../helper.ts'
import type { TestBroker } from '../helper.ts'

export const EMAIL = 'ada@example.com'

/** An admin's browser, and the broker that it is signed in at. */
export interface Desk {
  broker: TestBroker
  browser: Browser
  context: BrowserContext
  page: Page
  javaScriptEnabled: boolean
}

/** Walks it in a real browser twice: with JavaScript on, and off. */
export function walk(t: Test, name: string, steps: (t: Test, desk: Desk) => Promise<unknown>) {
  for (const javaScriptEnabled of [true, false]) {
    const words = `${name}, JavaScript ${javaScriptEnabled ? 'on' : 'off'}`
    t.test(words, { skip: noBrowser }, async (t) => {
      const [broker, browser] = [await buildBroker(t), await launch(t)]
      const context = await visit(t, browser, { javaScriptEnabled })
      const page = await context.newPage()
      await steps(t, { broker, browser, context, page, javaScriptEnabled })
    })
  }
}

/** Opens that page of the dashboard as an admin who is signed in. */
export async function enter({ broker, context, page }: Desk, path: string): Promise<void> {
  await signInBrowser(broker, context, { email: EMAIL })
  await page.goto(`${broker.url}/admin${path}`)
}

/** Fills in the page that asks an admin to sign in. */
export async function signInByHand(page: Page): Promise<void> {
  await page.getByLabel('E-mail address').fill(EMAIL)
  await page.getByLabel('Password').fill(PASSWORD)
  await page.getByRole('button', { name: 'Sign in' }).click()
}

/** Opens a page that asks first, reads it, and goes on; resolves to what it said. */
export async function confirm(page: Page, link: string, button: string): Promise<string> {
  await page.getByRole('link', { name: link }).click()
  const sure = page.getByRole('button', { name: button, exact: true })
  await sure.waitFor()
  const said = await page.getByRole('main').innerText()
  await sure.click()
  await page.getByRole('status').first().waitFor()
  return said
}
