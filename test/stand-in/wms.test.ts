import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { gdal, hasGdal, openPath, openRaster } from './drive.ts'
import { get, start } from './helper.ts'

t.test(
  'capabilities of both versions name the layer and repeat the token of the URL',
  async (t) => {
    const running = await start(t)
    const { id, token, timestampId } = await openRaster(running, 'Elevation Provence')
    const url = `${running.apiUrl}/ogc/wms/${id}`
    for (const [version, root, system] of [
      ['1.1.1', 'WMT_MS_Capabilities', 'SRS'],
      ['1.3.0', 'WMS_Capabilities', 'CRS'],
    ] as const) {
      const { status, headers, text } = await get(
        `${url}?SERVICE=WMS&REQUEST=GetCapabilities&VERSION=${version}&token=${token}`,
      )
      t.equal(status, 200)
      t.match(headers.get('content-type'), 'text/xml')
      t.match(text, `<${root} version="${version}"`)
      t.match(text, `<${system}>EPSG:3857</${system}>`)
      t.match(text, `<Name>${timestampId}_`)
      t.match(text, `xlink:href="${url}?token=${token}&#38;"`)
    }
    const byHeader = await get(`${url}?request=getcapabilities`, {
      authorization: `Bearer ${token}`,
    })
    t.notMatch(byHeader.text, token, 'a token of the header stays out of the document')
  },
)

t.test('maps that are refused', async (t) => {
  const running = await start(t)
  const { id, token, path, timestampId } = await openRaster(running, 'Elevation Provence')
  const layers = `${timestampId}_${path.raster.styles[0].id}`
  const good = { request: 'GetMap', version: '1.1.1', srs: 'EPSG:4326', layers, token }
  const size = { bbox: '5,43,6,44', width: '64', height: '64' }
  const map = (change: Record<string, string>) =>
    get(`${running.apiUrl}/ogc/wms/${id}?${new URLSearchParams({ ...good, ...size, ...change })}`)
  t.match((await map({})).headers.get('content-type'), 'image/png')
  const wrong: [Record<string, string>, string][] = [
    [{ request: 'GetFeatureInfo' }, 'OperationNotSupported'],
    [{ layers: 'other' }, 'LayerNotDefined'],
    [{ format: 'image/jpeg' }, 'InvalidFormat'],
    [{ srs: 'EPSG:28992' }, 'InvalidSRS'],
    [{ version: '1.3.0' }, 'InvalidCRS'],
    [{ width: '5000' }, 'InvalidParameterValue'],
    [{ bbox: '6,43,5,44' }, 'InvalidParameterValue'],
    [{ bbox: '5,43,6' }, 'InvalidParameterValue'],
  ]
  for (const [change, code] of wrong) {
    const { headers, text } = await map(change)
    t.match(headers.get('content-type'), 'text/xml')
    t.match(text, `code="${code}"`, JSON.stringify(change))
  }
  t.equal((await map({ token: 'old' })).status, 401)
  const other = await openPath(running, 'Hiking trails')
  t.equal((await get(`${running.apiUrl}/ogc/wms/${other.id}?token=${token}`)).status, 400)
})

t.test('GDAL lists and reads the service', { skip: !hasGdal && 'no GDAL' }, async (t) => {
  const running = await start(t)
  const { id, token, path, timestampId } = await openRaster(running, 'Elevation Provence')
  const url = `${running.apiUrl}/ogc/wms/${id}?token=${token}`
  const listed = await gdal('gdalinfo', `WMS:${url}`)
  const name = /SUBDATASET_1_NAME=(.*)/.exec(listed)?.[1] ?? ''
  t.match(listed, 'SUBDATASET_1_DESC=Elevation Provence')
  t.match(await gdal('gdalinfo', name), 'Band 3')

  const layers = `${timestampId}_${path.raster.styles[0].id}`
  const directory = t.testdir()
  const systems = {
    mercator: ['1.1.1', 'SRS', 'EPSG:3857', [500_000, 5_500_000, 800_000, 5_200_000]],
    degrees: ['1.3.0', 'CRS', 'EPSG:4326', [4.5, 44.2, 7.2, 42.2]],
  } as const
  for (const [label, [version, parameter, system, [left, top, right, bottom]]] of Object.entries(
    systems,
  )) {
    const order = system === 'EPSG:4326' ? '<BBoxOrder>yxYX</BBoxOrder>' : ''
    const description = join(directory, `${label}.xml`)
    await writeFile(
      description,
      `<GDAL_WMS><Service name="WMS"><Version>${version}</Version>
      <ServerUrl>${url}&amp;</ServerUrl><Layers>${layers}</Layers>
      <${parameter}>${system}</${parameter}><ImageFormat>image/png</ImageFormat>${order}</Service>
      <DataWindow><UpperLeftX>${left}</UpperLeftX><UpperLeftY>${top}</UpperLeftY>
      <LowerRightX>${right}</LowerRightX><LowerRightY>${bottom}</LowerRightY>
      <SizeX>300</SizeX><SizeY>300</SizeY></DataWindow>
      <BandsCount>4</BandsCount><BlockSizeX>256</BlockSizeX><BlockSizeY>256</BlockSizeY></GDAL_WMS>`,
    )
    const picture = join(directory, `${label}.png`)
    t.match(await gdal('gdal_translate', '-q', '-of', 'PNG', description, picture), '')
    const stats = await gdal('gdalinfo', '-stats', picture)
    t.match(stats, 'Size is 300, 300')
    const deviation = Number(/STATISTICS_STDDEV=([\d.]+)/.exec(stats)?.[1])
    t.ok(deviation > 10, `${label}: the picture varies by ${deviation}`)
  }
})
