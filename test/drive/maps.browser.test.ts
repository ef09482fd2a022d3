/** Leaflet and MapLibre in Chromium draw a layer by a link, and through the proxy with the header. */
import { readFileSync } from 'node:fs'
import { extname, join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { launch, noBrowser, visit } from '../browser/chromium.ts'
import { addApp, buildBroker, connect } from '../helper.ts'
import { listen } from '../listen.ts'

const dist = (library: string) => join(import.meta.dirname, '../../node_modules', library, 'dist')
const TYPES: Record<string, string> = { '.css': 'text/css', '.js': 'text/javascript' }

/** Each draws the tiles at `url`; with a token, it is sent in the header. Sets `document.title` when done. */
const pages: Record<string, string> = {
  leaflet: `
    <link rel="stylesheet" href="/leaflet/leaflet.css"><div id="map" style="height: 500px"></div>
    <script src="/leaflet/leaflet.js"></script>
    <script>
      const { url, token } = JSON.parse(decodeURIComponent(location.hash.slice(1)))
      const HeaderLayer = L.TileLayer.extend({
        createTile(coords, done) {
          const tile = document.createElement('img')
          fetch(this.getTileUrl(coords), { headers: { authorization: 'Bearer ' + token } })
            .then((response) => response.blob())
            .then((blob) => { tile.src = URL.createObjectURL(blob); tile.onload = () => done(null, tile) })
          return tile
        },
      })
      const layer = token ? new HeaderLayer(url) : L.tileLayer(url)
      layer.on('load', () => { document.title = 'drawn' })
      layer.on('tileerror', () => { document.title = 'failed' })
      layer.addTo(L.map('map').setView([46.5, 8], 7))
    </script>`,
  maplibre: `
    <link rel="stylesheet" href="/maplibre-gl/maplibre-gl.css"><div id="map" style="height: 500px"></div>
    <script type="module">
      import { Map } from '/maplibre-gl/maplibre-gl.mjs'
      const { url, token } = JSON.parse(decodeURIComponent(location.hash.slice(1)))
      const map = new Map({
        container: 'map', center: [8, 46.5], zoom: 6,
        style: {
          version: 8,
          sources: { terrain: { type: 'raster', tiles: [url], tileSize: 256 } },
          layers: [{ id: 'terrain', type: 'raster', source: 'terrain' }],
        },
        transformRequest: (url) => token ? { url, headers: { authorization: 'Bearer ' + token } } : { url },
      })
      map.on('idle', () => { if (document.title === '') document.title = 'drawn' })
      map.on('error', ({ error }) => { document.title = 'failed: ' + error.message })
    </script>`,
}

/** Serves the pages and libraries on an origin of their own. */
const servePages = (t: Test): Promise<string> =>
  listen(t, ({ url = '' }, response) => {
    const { pathname } = new URL(url, 'http://127.0.0.1')
    const [, library = '', file] = pathname.split('/')
    response.setHeader('content-type', TYPES[extname(pathname).replace('mjs', 'js')] ?? 'text/html')
    if (file === undefined) return void response.end(`<!doctype html>${pages[library] ?? ''}`)
    response.end(readFileSync(join(dist(library), file)))
  })

t.test('maps draw a layer by link and by header', { skip: noBrowser }, async (t) => {
  const broker = await buildBroker(t)
  const origin = await servePages(t)
  const app = await addApp(broker, {
    redirectUris: [`${origin}/`],
    origins: [origin],
    access: 'proxy',
    readOnly: true,
  })
  const { brokerToken: token } = await connect(broker, app)
  const call = async (path: string, body?: object) => {
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
    const init = body && { method: 'POST', headers, body: JSON.stringify(body) }
    const response = await fetch(broker.url + path, init ?? { headers })
    return (await response.json()) as Record<string, never>
  }
  interface Raster {
    id: string
    raster: { timestamps: { id: string }[] }
  }
  const root = await call('/drive/account/root/myDrive?type=["raster"]')
  const [layer] = root.result as unknown as Raster[]
  const path = `/path/${layer?.id}/raster/timestamp/${layer?.raster.timestamps[0]?.id}/tile/{z}/{x}/{y}`
  const { url } = await call('/links', { path })
  t.match(String(url), '/tile/{z}/{x}/{y}', 'the link keeps its placeholders')

  const context = await visit(t, await launch(t))
  for (const library of Object.keys(pages)) {
    for (const [what, settings] of Object.entries({
      link: { url },
      header: { url: `${broker.url}/drive${path}`, token },
    })) {
      const page = await context.newPage()
      const answers: number[] = []
      page.on('response', (response) => {
        if (response.url().includes('/tile/')) answers.push(response.status())
      })
      await page.goto(`${origin}/${library}#${encodeURIComponent(JSON.stringify(settings))}`)
      await page.waitForFunction(() => document.title !== '')
      t.equal(await page.title(), 'drawn', `${library} by ${what}`)
      t.ok(
        answers.length >= 4 && answers.every((status) => status === 200),
        `${answers.length} tiles`,
      )
      // A part of the map that is drawn has many colours; an empty one has few.
      const picture = await page.locator('#map').screenshot({ type: 'png' })
      t.ok(picture.length > 50_000, `${picture.length} bytes of picture`)
      await page.close()
    }
  }
})
