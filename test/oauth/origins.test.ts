/** Origins: which may be registered, and which match. For a longer run: `RUNS=100000`. */
import fc from 'fast-check'
import t from 'tap'
import {
  findRedirectUri,
  loopbackOriginOf,
  originProblem,
} from '../../server/oauth/redirect-uri.ts'
import { size } from '../size.ts'

const RUNS = Number(process.env.RUNS ?? size(300, 5000))

const scheme = fc.oneof(
  fc.constantFrom('http', 'https', 'capacitor', 'ionic', 'chrome-extension', 'HTTP', 'file', 'a.b'),
  fc.string({ maxLength: 8 }),
)
const host = fc.oneof(
  fc.domain(),
  fc.ipV4(),
  fc.ipV6().map((address) => `[${address}]`),
  fc.constantFrom('localhost', '127.0.0.1', '[::1]', '*.example.com', '', 'ÄÖ', '127.1'),
  fc.string({ maxLength: 20 }),
)
const port = fc.oneof(
  fc.constantFrom('', ':', ':80', ':443', ':00', ':65536'),
  fc.nat(70_000).map((n) => `:${n}`),
)
const rest = fc.constantFrom('', '', '', '/', '?', '#', '/x', ' ', '\0')
const origin = fc
  .tuple(scheme, fc.constantFrom('://', '://', '://', ':', ':/'), host, port, rest)
  .map((parts) => parts.join(''))

t.test(`${RUNS} texts: what may be registered is what browsers send`, (t) => {
  const seen = { accepted: 0, refused: 0 }
  fc.assert(
    fc.property(origin, (text) => {
      const isAccepted = originProblem(text) === null
      seen[isAccepted ? 'accepted' : 'refused']++
      if (!isAccepted) return true
      const url = new URL(text)
      const isPlain =
        /^[a-z][a-z0-9+.-]*:\/\/[!-~]+$/.test(text) && !/[/?#@*]/.test(text.split('//', 2)[1] ?? '')
      return isPlain && url.host !== '' && [text, `${text}/`].includes(url.href)
    }),
    { numRuns: RUNS },
  )
  t.ok(seen.accepted > 0)
  t.ok(seen.refused > 0)
  t.end()
})

t.test(`${RUNS} pairs: an origin matches another port if a redirect URI does`, (t) => {
  const loopback = fc
    .tuple(
      fc.constantFrom('http', 'https', 'x'),
      fc.constantFrom('127.0.0.1', '[::1]', 'localhost', '127.0.0.2'),
      port,
    )
    .map(([scheme, host, port]) => `${scheme}://${host}${port}`)
  fc.assert(
    fc.property(loopback, loopback, (registered, requested) => {
      const any = loopbackOriginOf(requested)
      const isMatch =
        requested === registered || (any !== null && any === loopbackOriginOf(registered))
      return isMatch === (findRedirectUri([`${registered}/cb`], `${requested}/cb`) !== undefined)
    }),
    { numRuns: RUNS },
  )
  t.end()
})
