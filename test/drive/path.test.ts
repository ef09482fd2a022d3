import fc from 'fast-check'
import t from 'tap'
import { readDrivePath } from '../../server/drive/path.ts'
import { BrokerError } from '../../server/errors.ts'
import { API, hostilePaths, pathsOf, readByHand } from './hostile-paths.ts'
import { size } from '../size.ts'

/** The reason of the refusal; `null`: the path is accepted. */
function refusalOf(raw: string): string | null {
  try {
    readDrivePath(raw)
    return null
  } catch (error) {
    if (!(error instanceof BrokerError) || error.code !== 'invalid_request') throw error
    t.equal(error.details.isGuess, false)
    t.match(error.message, /^(Send|Percent-encode|Encode) .*\.$/, 'a sentence that helps')
    return error.details.reason ?? ''
  }
}

t.test('a path is decoded into segments, and encoded again for Ellipsis Drive', async (t) => {
  t.same(readDrivePath('/path/a%20b/r%61ster/tile/3/-1/2.png?style=%7B%22a%22%3A1%7D&x=1'), {
    segments: ['path', 'a b', 'raster', 'tile', '3', '-1', '2.png'],
    path: '/path/a%20b/raster/tile/3/-1/2.png',
    query: '?style=%7B%22a%22%3A1%7D&x=1',
  })
  t.same(readDrivePath('/'), { segments: [], path: '/', query: '' })
  t.same(readDrivePath('/caf%C3%A9/100%25/%E5%9C%B0%E5%9B%B3'), {
    segments: ['café', '100%', '地図'],
    path: '/caf%C3%A9/100%25/%E5%9C%B0%E5%9B%B3',
    query: '',
  })
})

t.test('what two programs could read in two ways is refused', async (t) => {
  const cases: Record<string, string[]> = {
    drive_path_relative: ['', '?x=/', 'path', 'http://evil.example/', '@evil.example/', '*'],
    drive_path_empty_segment: ['//evil.example', '/a//b', '/a/', '///', '/a/?x'],
    drive_path_dots: [
      '/.',
      '/a/..',
      '/a/../b',
      '/%2e%2e/b',
      '/.%2E/b',
      '/...',
      '/a/%20',
      '/a/..%20/b',
    ],
    drive_path_separator: [
      '/a%2fb',
      '/a%2F..%2Fb',
      '/a%5Cb',
      '/a;x=1',
      '/a%3bx',
      '/..;/b',
      '/a%3Fb',
      '/a%23b',
    ],
    drive_path_double_encoding: ['/%252e%252e', '/a%252fb', '/%25%32%65', '/%25u002e', '/%25252e'],
    drive_path_control_character: [
      '/a%00',
      '/a%0d%0aX:%20y',
      '/a%09b',
      '/a%7f',
      '/a%E2%80%AEb',
      '/a%E2%80%8Bb',
      '/a%E2%80%A8b',
      '/%EF%BB%BFa',
      '/%EE%80%80',
    ],
    drive_path_encoding: [
      '/%c0%ae%c0%ae',
      '/%',
      '/%zz',
      '/%e',
      '/%ff',
      '/%ED%A0%80',
      '/%u002e',
      '/%f5%80%80%80',
    ],
    drive_path_characters: [
      '/a\\b',
      '/\\evil',
      '/a b',
      '/é',
      '/a\tb',
      '/a\r\nb',
      '/a\0',
      '/a#b',
      '/a"b',
      '/{id}',
      '/a|b',
      '/[a]',
    ],
    drive_path_unicode: [
      '/%EF%BC%8E%EF%BC%8E/b',
      '/a%EF%BC%8Fb',
      '/a%EF%BC%BCb',
      '/%E2%80%A5',
      '/a%E2%88%95b',
      '/a%E2%81%84b',
      '/e%CC%81',
      '/%EF%BC%85',
      '/%E2%84%80',
      '/a%CD%BEb',
    ],
    drive_query_characters: ['/a?x#y', '/a?x y', '/a?é', '/a?x\r\ny', '/a?\0'],
    drive_query_encoding: ['/a?%252525252574oken=1'],
    drive_path_too_long: [`/${'a'.repeat(16_384)}`, `/a?${'a'.repeat(16_384)}`],
  }
  for (const [reason, paths] of Object.entries(cases)) {
    for (const path of paths) t.equal(refusalOf(path), reason, JSON.stringify(path.slice(0, 60)))
  }
})

t.test('the query keeps its order and encoding, and loses credentials', async (t) => {
  const query = (raw: string) => readDrivePath(`/a?${raw}`).query
  t.equal(query('b=1&a=%7e&b=2&&c&=d&e=%zz&f=a;b&'), '?b=1&a=%7e&b=2&&c&=d&e=%zz&f=a;b&')
  t.equal(query('q={"a":[1,\'x\']}|\\^`<>'), '?q={"a":[1,\'x\']}|\\^`<>')
  t.equal(
    query('token_id=1&tokens=2&my_token=3&x=token'),
    '?token_id=1&tokens=2&my_token=3&x=token',
  )
  t.equal(query(''), '')
  for (const name of [
    ...['token', 'Token', 'TOKEN', '%74oken', '%2574oken', 't%6Fken', 'token[]', 'token%5B%5D'],
    ...[
      'token[0]',
      '[token]',
      '%5Btoken%5D',
      '[[token]]',
      'token[a]',
      'token.a',
      'token%00',
      '+token',
    ],
    ...['%20token', 'token%20', '?token', 'to%E2%84%AAen', '%EF%BD%94oken', '%u0074oken'],
    ...['access_token', 'ACCESS_TOKEN', 'access%5Ftoken', 'token%3Dx'],
  ]) {
    t.equal(query(`${name}=secret`), '', name)
    t.equal(query(name), '', name)
    t.equal(query(`a=1&${name}=secret&b=2&${name}=secret;${name}=x`), '?a=1&b=2', name)
  }
})

t.test('no path leaves the API, and none is read in two ways', async (t) => {
  let accepted = 0
  fc.assert(
    fc.property(fc.oneof(hostilePaths, pathsOf(hostilePaths)), (raw) => {
      let read
      try {
        read = readDrivePath(raw)
      } catch (error) {
        if (error instanceof BrokerError && error.code === 'invalid_request') return
        throw error
      }
      accepted++
      const { segments, path, query } = read
      const url = new URL(API + path + query)
      // What is sent is what was read: the URL parser finds nothing to change.
      if (url.origin !== new URL(API).origin) throw new Error('another origin')
      if (url.pathname !== `/v3${path}`) throw new Error('another path')
      if (url.username !== '' || url.hash !== '') throw new Error('more than a path')
      const decoded = readByHand(url)
      if (JSON.stringify(decoded) !== JSON.stringify(segments)) throw new Error('other segments')
      for (const segment of segments) {
        const twice = segment.replaceAll(/%[0-9a-f]{2}/gi, decodeURIComponent)
        for (const text of [segment, twice, segment.normalize('NFKC')]) {
          if (/[/\\;]|^\.+$/.test(text)) throw new Error('another path if decoded again')
        }
      }
      const names = [...url.searchParams.keys()].map((name) => name.toLowerCase())
      if (names.includes('token')) throw new Error('a token')
      const again = readDrivePath(path + query)
      if (JSON.stringify(again) !== JSON.stringify(read)) throw new Error('not stable')
    }),
    { numRuns: size(30_000, 300_000) },
  )
  t.ok(accepted > 1000, `${accepted} accepted`)
})
