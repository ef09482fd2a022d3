import fc from 'fast-check'
import t from 'tap'
import { matchLink, readLinkPath } from '../../server/drive/link-path.ts'
import { readDrivePath } from '../../server/drive/path.ts'

const ask = (path: string, target: string, isPrefix = false) => {
  const found = matchLink({ path: readLinkPath(path, isPrefix), isPrefix }, readDrivePath(target))
  return found && found.path + found.query
}

t.test('placeholders stay readable, and match one value of a tile URL', async (t) => {
  const tiles = '/path/7/raster/timestamp/9/tile/{z}/{x}/{-y}{r}.png'
  t.equal(readLinkPath(tiles, false), tiles)
  t.equal(readLinkPath('/path/7/%7Bz%7D', false), '/path/7/{z}')
  const base = '/path/7/raster/timestamp/9/tile'
  for (const target of [
    `${base}/1/2/3.png`,
    `${base}/10/20/30@2x.png`,
    `${base}/1/2/3.png?style=a`,
  ])
    t.equal(ask(tiles, target), target.replace('@', '%40'))
  for (const target of [
    ...[`${base}/1/2/3.jpg`, `${base}/1/2/.png`, `${base}/1/2`, `${base}/1/2/3.png/4`],
    ...[`${base}/1/2/3@xx.png`, `${base}/1/a b/3.png`.replace(' ', '%20'), `${base}/1/2/3xpng`],
    ...['/path/8/raster/timestamp/9/tile/1/2/3.png', `${base}/1/2/${'3'.repeat(65)}.png`, '/'],
  ]) {
    t.equal(ask(tiles, target), null, target)
  }
})

t.test('a prefix gives its path and what is below, and nothing beside it', async (t) => {
  for (const path of ['/path/7', '/path/7/']) {
    t.equal(readLinkPath(path, true), '/path/7')
    for (const target of ['/path/7', '/path/7/a/b']) t.equal(ask(path, target, true), target)
    for (const target of ['/path', '/path/77', '/path/8/7', '/account'])
      t.equal(ask(path, target, true), null)
  }
})

t.test('query parameters of the link cannot be overridden', async (t) => {
  const path = '/ogc/wms/7?SERVICE=WMS&Layers=roads&bbox={bbox-epsg-3857}'
  t.equal(readLinkPath(path, false), path)
  const fixed = '/ogc/wms/7?SERVICE=WMS&Layers=roads'
  t.equal(ask(path, '/ogc/wms/7'), fixed)
  const own = 'bbox=1,2,3,4&WIDTH=256'
  t.equal(ask(path, `/ogc/wms/7?${own}&service=WMS&layers=roads`), `${fixed}&${own}`)
  for (const other of ['layers=secret', 'LAYERS[]=secret', '%4cayers=secret', 'a=1;layers=secret'])
    t.equal(ask(path, `/ogc/wms/7?${other}&${own}`), `${fixed}&${own}`, other)
  t.equal(ask('/ogc/wms/7', `/ogc/wms/7?${own}&token=x`), `/ogc/wms/7?${own}`)
  const marked = '/ogc/wms/7?style=a?b&layers=roads'
  t.equal(ask(marked, '/ogc/wms/7?layers=secret'), marked, 'also behind a second question mark')
})

t.test('a path that says too little or could be read in two ways is refused', async (t) => {
  const refuse = (path: string, isPrefix: boolean, reason: string) => {
    try {
      readLinkPath(path, isPrefix)
      t.fail(path)
    } catch (error) {
      t.match(error, { details: { reason, isGuess: false } }, path)
    }
  }
  refuse('/', false, 'link_path_too_wide')
  refuse('/', true, 'link_path_too_wide')
  refuse('/?a=b', false, 'link_path_too_wide')
  refuse('/path/7?a=b', true, 'link_prefix_query')
  refuse('/path/{a}.{b}.{c}.{d}', false, 'link_placeholders')
  refuse('path/7', false, 'drive_path_relative')
  refuse('/path/7/../8', false, 'drive_path_dots')
  refuse('/path//7', true, 'drive_path_empty_segment')
  refuse('/path/{z', false, 'drive_path_characters')
})

t.test('any value of a placeholder stays within its segment', async () => {
  const value = fc.oneof(fc.string(), fc.constantFrom('..', '%2e%2e', 'a/b', '%2F', '1', '@2x'))
  const paths = fc.array(value, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/'))
  fc.assert(
    fc.property(paths, (rest) => {
      let found
      try {
        found = ask('/path/7/{z}/{x}.png', `/path/7/${rest}`)
      } catch {
        return
      }
      if (found === null) return
      const path = found.replace(/\?.*$/s, '')
      if (!/^\/path\/7\/[\w.-]+\/[\w.-]+\.png$/.test(path)) throw new Error(found)
      if (new URL(`https://a.example/v3${found}`).pathname !== `/v3${path}`) throw new Error(found)
    }),
    { numRuns: 2000 },
  )
})
