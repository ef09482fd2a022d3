import { readFile } from 'node:fs/promises'
import type { Page } from 'playwright-core'
import t from 'tap'
import { EMAIL, openDashboard, testInBrowser } from './admin-browser.ts'
import { fillBroker } from '../sample-data.ts'

/** Clicks the button and reads the download. */
async function download(page: Page, button: string): Promise<{ name: string; lines: string[] }> {
  const waiting = page.waitForEvent('download')
  await page.getByRole('button', { name: button }).click()
  const file = await waiting
  const text = await readFile(await file.path(), 'utf8')
  return { name: file.suggestedFilename(), lines: text.trim().split(/\r?\n/) }
}

testInBrowser(t, 'the overview, exports and the audit log', async (t, admin) => {
  const { broker, page } = admin
  await fillBroker(broker)
  await openDashboard(admin, '')
  const swaps = page.getByRole('img', { name: /swaps/i }).first()
  t.match(await swaps.getAttribute('aria-label'), /\d/, 'the chart has a text alternative')
  await page.getByText('Show as table').click()
  const table = page.getByRole('table', { name: /Usage in/ })
  t.equal(await table.locator('tbody tr').count(), 24)
  t.ok(await table.isVisible())
  await page.getByRole('link', { name: '7 days' }).click()
  await page.getByRole('heading', { name: 'Usage in the last 7 days' }).waitFor()
  await page.getByRole('link', { name: 'View users' }).click()
  await page.getByText('1 user matches.').waitFor()

  const csv = await download(page, 'Export CSV')
  t.match(csv.name, /^users.*\.csv$/)
  t.equal(csv.lines.length, 2, 'a header and one match')
  t.match(csv.lines[1], 'bo.lindqvist')
  const again = await download(page, 'Export JSON Lines')
  t.match(again.name, /\.jsonl$/)
  t.match(JSON.parse(again.lines[0] ?? ''), { username: 'bo.lindqvist' })

  await page.getByRole('link', { name: 'Audit log' }).click()
  await page.getByRole('link', { name: 'Next page' }).click()
  await page.getByRole('link', { name: 'Previous page' }).click()
  await page.getByLabel('Action').selectOption('Users exported')
  await page.getByLabel('Actor').fill(EMAIL)
  await page.getByRole('button', { name: 'Search' }).click()
  await page.getByRole('link', { name: 'Clear filters' }).waitFor()
  const rows = await page.locator('tbody tr').allInnerTexts()
  t.equal(rows.length, 2)
  for (const row of rows) t.match(row, EMAIL)
  const log = await download(page, 'Export CSV')
  t.equal(log.lines.length, 3)
  t.match(log.lines[1], 'users.exported')
})
