import { createHash } from 'node:crypto'
import { inflateSync } from 'node:zlib'
import t from 'tap'
import { openRaster } from './drive.ts'
import { accessToken, get, start } from './helper.ts'

/** Decodes the tiles of the stand-in: RGBA, each row with the filter Sub (PNG 9.2). */
async function readTile(url: string) {
  const response = await fetch(url)
  const png = Buffer.from(await response.arrayBuffer())
  const [width, height] = [png.readUInt32BE(16), png.readUInt32BE(20)]
  const length = png.readUInt32BE(33)
  const rows = inflateSync(png.subarray(41, 41 + length))
  const pixels = Buffer.alloc(width * height * 4)
  for (let row = 0; row < height; row++) {
    const from = row * (width * 4 + 1) + 1
    for (let at = 0; at < width * 4; at++) {
      const before = at < 4 ? 0 : pixels[row * width * 4 + at - 4]!
      pixels[row * width * 4 + at] = rows[from + at]! + before
    }
  }
  const column = (x: number) =>
    Array.from({ length: height }, (_, row) =>
      pixels.subarray((row * width + x) * 4).subarray(0, 4),
    )
  return { response, png, width, height, pixels, column }
}

const difference = (one: Buffer[], other: Buffer[]) =>
  one.reduce((sum, pixel, row) => sum + Math.abs(pixel[0]! - other[row]![0]!), 0) / one.length

t.test('a tile is a picture of 256 pixels that continues in the next tile', async (t) => {
  const running = await start(t)
  const { tiles, token } = await openRaster(running, 'World relief')
  for (const [z, x, y] of [
    [2, 1, 1],
    [7, 65, 46],
    [12, 2_112, 1_492],
  ] as const) {
    const one = await readTile(`${tiles}/${z}/${x}/${y}?token=${token}`)
    const next = await readTile(`${tiles}/${z}/${x + 1}/${y}?token=${token}`)
    t.equal(one.response.headers.get('content-type'), 'image/png')
    t.strictSame([one.width, one.height], [256, 256])
    const seam = difference(one.column(255), next.column(0))
    const within = difference(one.column(254), one.column(255))
    t.ok(seam < 2 * within + 4, `zoom ${z}: ${seam} at the seam, ${within} within`)
    t.ok(new Set(one.pixels).size > 50, 'it has many shades')
  }
  const again = await start(t)
  const other = await openRaster(again, 'World relief')
  const digest = async (url: string) =>
    createHash('sha256')
      .update((await readTile(url)).png)
      .digest('hex')
  t.equal(
    await digest(`${tiles}/5/16/11?token=${token}`),
    await digest(`${other.tiles}/5/16/11?token=${other.token}`),
    'the same in each process',
  )
})

t.test('a tile shows what its parent tile shows', async (t) => {
  const running = await start(t)
  const { tiles, token } = await openRaster(running, 'World relief')
  const isWater = (pixel: Buffer) => pixel[2]! > pixel[0]! + 20
  const parent = await readTile(`${tiles}/6/32/23?token=${token}`)
  const child = await readTile(`${tiles}/7/64/46?token=${token}`)
  let same = 0
  for (let y = 0; y < 128; y += 4) {
    for (let x = 0; x < 128; x += 4) {
      const large = parent.column(x)[y]!
      if (isWater(large) === isWater(child.column(2 * x)[2 * y]!)) same += 1
    }
  }
  t.ok(same > 0.95 * 32 * 32, `${same} of 1024 pixels agree on land or water`)
})

t.test('a raster is transparent outside its extent', async (t) => {
  const running = await start(t)
  const { tiles, token, path } = await openRaster(running, 'Elevation Provence')
  t.match(path.raster.timestamps[0], { status: 'active', zoom: 14, extent: { xMin: 3.4 } })
  const inside = await readTile(`${tiles}/9/264/186?token=${token}`)
  const outside = await readTile(`${tiles}/9/100/100?token=${token}`)
  t.equal(inside.pixels[3], 255)
  t.equal(outside.response.status, 200)
  t.ok(outside.pixels.every((byte) => byte === 0))
})

t.test('validators and lifetime of tiles', async (t) => {
  const running = await start(t)
  const { tiles, token } = await openRaster(running, 'World relief')
  const url = `${tiles}/3/4/2`
  const authorization = `Bearer ${token}`
  const { headers } = await get(url, { authorization })
  const etag = headers.get('etag') ?? ''
  t.match(etag, /^"[\w-]{43}"$/)
  t.equal(headers.get('cache-control'), 'private, max-age=3600')
  t.match(headers.get('access-control-expose-headers'), 'etag')
  for (const tags of [etag, `W/${etag}`, `"other", ${etag}`, '*']) {
    const same = await get(url, { authorization, 'if-none-match': tags })
    t.equal(same.status, 304, tags)
    t.equal(same.text, '')
  }
  t.equal((await get(url, { authorization, 'if-none-match': '"other"' })).status, 200)
  t.equal(
    (await get(url, { authorization: 'Bearer old', 'if-none-match': etag })).status,
    401,
    'access comes first',
  )
  running.standIn.switches.tileCaching = 'etag'
  t.equal((await get(url, { authorization })).headers.get('cache-control'), null)
  running.standIn.switches.tileCaching = 'none'
  const bare = await get(url, { authorization, 'if-none-match': etag })
  t.strictSame([bare.status, bare.headers.get('etag')], [200, null])
})

t.test('tiles that are refused', async (t) => {
  const running = await start(t)
  const { tiles, token, path } = await openRaster(running, 'World relief')
  const bo = await accessToken(running, 'bo')
  const statuses: [string, number][] = [
    [`${tiles}/3/4/2`, 403],
    [`${tiles}/3/4/2?token=old`, 401],
    [`${tiles}/3/4/2?token=${bo}`, 403],
    [`${tiles}/3/8/2?token=${token}`, 404],
    [`${tiles}/3/0/8?token=${token}`, 404],
    [`${tiles}/21/0/0?token=${token}`, 404],
    [`${tiles}/3/-1/2?token=${token}`, 400],
    [`${tiles}/3/4/2.png?token=${token}`, 400],
    [`${tiles.replace(/timestamp\/[^/]+/, 'timestamp/other')}/3/4/2?token=${token}`, 404],
    [`${tiles.replace(path.id, 'other')}/3/4/2?token=${token}`, 404],
  ]
  for (const [url, status] of statuses) {
    const refused = await get(url)
    t.equal(refused.status, status, url.replace(running.apiUrl, ''))
    t.match(refused.body, { message: String })
  }
})

t.test('tiles are drawn fast, and faster again', async (t) => {
  const running = await start(t)
  const { tiles, token } = await openRaster(running, 'World relief')
  const read = async (x: number) =>
    (await fetch(`${tiles}/9/${x}/186?token=${token}`)).arrayBuffer()
  for (let x = 200; x < 205; x++) await read(x)
  /** The shortest time of 20 tiles: other programs can only lengthen it. */
  const measure = async () => {
    let shortest = Infinity
    for (let x = 260; x < 280; x++) {
      const startedAt = performance.now()
      await read(x)
      shortest = Math.min(shortest, performance.now() - startedAt)
    }
    return shortest
  }
  const [drawn, kept] = [await measure(), await measure()]
  t.comment(`${drawn.toFixed(1)} ms drawn, ${kept.toFixed(1)} ms kept`)
  t.ok(kept < drawn)
})
