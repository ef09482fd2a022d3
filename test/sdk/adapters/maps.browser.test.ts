/** Runs the examples of docs/connect/map.md in Chromium: each map shows tiles of the stand-in. */
import t from 'tap'
import { timestampIdOf } from '../../../server/stand-in/rasters.ts'
import type { StandIn } from '../../../server/stand-in/stand-in.ts'
import { noBrowser } from '../../browser/chromium.ts'
import { connectInPopup, openExample, waitForTerrain } from './example.ts'

const BY_TOKEN = ['MapLibre', 'OpenLayers', 'deck.gl']

for (const section of BY_TOKEN) {
  t.test(`${section}: tiles by token, and through the proxy`, { skip: noBrowser }, async (t) => {
    for (const access of ['token', 'proxy'] as const) {
      const { broker, page, tiles } = await openExample(t, { section, settings: { access } })
      await connectInPopup(page)
      await waitForTerrain(page)
      const origin = access === 'proxy' ? broker.url : new URL(broker.standInApiUrl).origin
      t.ok(tiles.size >= 4, `${tiles.size} tiles`)
      for (const [url, status] of tiles) t.strictSame([new URL(url).origin, status], [origin, 200])
      await page.close()
    }
  })
}

t.test('Leaflet: tiles by link, which is renewed', { skip: noBrowser }, async (t) => {
  const { page, tiles, broker } = await openExample(t, { section: 'Leaflet' })
  await connectInPopup(page)
  await waitForTerrain(page)
  const linkOf = (url: string) => url.split('/').slice(0, 5).join('/')
  const [first = ''] = [...tiles.keys()].map(linkOf)
  t.ok(first.startsWith(`${broker.url}/l/`))
  t.ok([...tiles].every(([url, status]) => linkOf(url) === first && status === 200))

  /** Needs other tiles. Returns the link of the first that loads. */
  const zoomIn = async () => {
    const response = page.waitForResponse(
      (response) => response.url().includes('/tile/') && response.ok(),
    )
    await page.locator('#map').focus()
    await page.keyboard.press('+')
    return linkOf((await response).url())
  }
  let second = ''
  await t.test('before it expires', async (t) => {
    const renewed = page.waitForResponse(`${broker.url}/links`)
    await page.clock.fastForward(3_300_000)
    await (await renewed).finished()
    second = await zoomIn()
    t.not(second, first)
  })

  await t.test('after it expired while the computer slept, and woke up offline', async (t) => {
    broker.clock.advance(7_200_000)
    await page.context().setOffline(true)
    const failed = page.waitForEvent('requestfailed', (request) => request.url().endsWith('/links'))
    await page.clock.fastForward(7_200_000)
    await failed
    await page.context().setOffline(false)
    t.not(await zoomIn(), second)
  })
})

t.test('React: renders again when the connection changes', { skip: noBrowser }, async (t) => {
  const { page, tiles, broker } = await openExample(t, {
    section: 'React',
    language: 'jsx',
    body: '<div id="root"></div>',
    more: ({ standIn }) => `
      import { StrictMode } from 'react'
      import { createRoot } from 'react-dom/client'
      const path = ${JSON.stringify(tilesOf(standIn))}
      const map = <StrictMode><DriveMap path={path} /></StrictMode>
      createRoot(document.getElementById('root')).render(map)`,
  })
  const [refusing] = await Promise.all([
    page.waitForEvent('popup'),
    page.getByRole('button', { name: 'Connect Ellipsis Drive' }).click(),
  ])
  await refusing.getByRole('button', { name: 'Deny' }).click()
  await page.getByRole('status').waitFor()
  await connectInPopup(page)
  await waitForTerrain(page)
  t.ok([...tiles.values()].every((status) => status === 200))
  broker.standIn.addFault({ endpoint: 'refresh', kind: 'invalid_grant', times: 1000 })
  broker.clock.advance(3_600_000)
  await page.clock.fastForward(3_600_000)
  await page.reload()
  await page.getByRole('button', { name: 'Connect again' }).waitFor()
})

/** Tiles of Amelie's first raster. */
function tilesOf({ drive, users }: StandIn): string {
  const amelie = users.list().find(({ username }) => username === 'amelie')
  const raster = amelie && drive.create(amelie).find(({ item }) => item.type === 'raster')
  if (!raster) throw new Error('no raster')
  return `/path/${raster.id}/raster/timestamp/${timestampIdOf(raster)}/tile/{z}/{x}/{y}`
}
