import fc from 'fast-check'

export const API = 'https://api.ellipsis.example/v3'

/** The segments below the API, as a server that decodes once reads them. */
export function readByHand({ pathname }: URL): string[] {
  const received = pathname.slice('/v3/'.length)
  return received === '' ? [] : received.split('/').map(decodeByHand)
}

/** Percent-decoding, byte by byte. */
function decodeByHand(segment: string): string {
  const bytes: number[] = []
  for (let at = 0; at < segment.length; at++) {
    const isEncoded = segment[at] === '%'
    bytes.push(isEncoded ? parseInt(segment.slice(at + 1, at + 3), 16) : segment.charCodeAt(at))
    if (isEncoded) at += 2
  }
  return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Uint8Array.from(bytes))
}

/** Pieces that proxies, servers and libraries have read differently. */
const PIECES = [
  ...[
    '/',
    '//',
    '/./',
    '/../',
    '..',
    '.',
    '%2e',
    '%2E%2e',
    '%252e',
    '%2f',
    '%2F',
    '%252f',
    '\\',
    '%5c',
  ],
  ...[
    '%255c',
    ';',
    ';x=..',
    '..;',
    '%3b',
    '?',
    '#',
    '%3f',
    '%23',
    '@evil.example',
    '//evil.example',
  ],
  ...[
    'http://evil.example',
    '\\\\evil.example',
    'javascript:',
    ':443',
    '[::1]',
    '%00',
    '%0d%0a',
    '\t',
  ],
  ...[
    '\0',
    ' ',
    '+',
    '%20',
    '%',
    '%25',
    '%u002e',
    '%c0%ae',
    '%c0%af',
    '%e0%80%af',
    '%ff',
    '%ED%A0%80',
  ],
  ...[
    '\u2024',
    '%E2%80%A4',
    '%EF%BC%8E',
    '%EF%BC%8F',
    '%EF%BC%BC',
    '%E2%88%95',
    '%E2%80%A5',
    '%CC%81',
  ],
  ...[
    'é',
    '%C3%A9',
    '%E2%80%AE',
    '%F0%9F%97%BA',
    '*',
    '**',
    '~',
    "'",
    '(',
    '{',
    '|',
    '^',
    '`',
    '"',
    '<',
  ],
  ...['token=x', '&', 'Token=x', '%74oken=x', 'token[]=x', '=', 'request=Transaction', '%2574oken'],
  ...[
    'path',
    'raster',
    'account',
    'security',
    'accessToken',
    'oauth',
    'ogc',
    'PATH',
    'a',
    '1',
    '-',
    '_',
  ],
]

/** Single characters, whole, and encoded once or twice. */
const character = fc
  .tuple(fc.integer({ min: 0, max: 0x2fff }), fc.constantFrom(0, 1, 2))
  .map(([unit, times]) => {
    let text = String.fromCharCode(unit)
    for (let count = 0; count < times; count++) text = encodeURIComponent(text)
    return text
  })

export const hostilePaths = fc
  .array(
    fc.oneof(
      { arbitrary: fc.constantFrom(...PIECES), weight: 9 },
      { arbitrary: character, weight: 1 },
    ),
    {
      maxLength: 12,
    },
  )
  .map((pieces) => `/${pieces.join('')}`)

/** Mostly plain paths, with one hostile piece at most: many of them are accepted. */
export const pathsOf = (hostile: fc.Arbitrary<string>): fc.Arbitrary<string> =>
  fc
    .tuple(
      fc.array(
        fc.constantFrom(
          'path',
          'raster',
          'a%20b',
          'vector',
          '%72aster',
          'x%2Ay',
          'account',
          'Raster',
        ),
        {
          maxLength: 5,
        },
      ),
      fc.oneof({ arbitrary: fc.constant(''), weight: 3 }, { arbitrary: hostile, weight: 1 }),
      fc.constantFrom('', '?token=1', '?a=1&token=2', '?request=GetMap', '?%54OKEN=1;a'),
    )
    .map(([segments, tail, query]) => `/${segments.join('/')}${tail}${query}`)
