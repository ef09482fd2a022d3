import t from 'tap'
import { loadConfig } from '../../server/config.ts'
import { probe, settingsOf } from '../../server/operate/probe.ts'
import { world } from '../../server/services.ts'
import type { Switches } from '../../server/stand-in/app.ts'
import { command } from '../command.ts'
import { allow } from '../helper.ts'
import { Visitor } from '../visitor.ts'
import { buildWorld } from './world.ts'

async function ask(
  place: Awaited<ReturnType<typeof buildWorld>>,
  switches: Partial<Switches>,
  reuse = true,
) {
  Object.assign(place.standIn.switches, switches)
  const config = loadConfig(place.env, { serve: true })
  const authorize = async (url: string) => {
    const visitor = new Visitor()
    const page = await visitor.open(url, config.callbackUrl)
    return (await allow(visitor, page, 'amelie', config.callbackUrl)).url
  }
  return probe(config, world, authorize, { reuse })
}

t.test('every variant of Ellipsis Drive is told from the others', async (t) => {
  const variants: [Partial<Switches>, object][] = [
    [
      {},
      {
        encodings: ['form', 'json'],
        codeParameters: ['code', 'authorization_code'],
        errorShape: 'oauth',
        expiresIn: 3600,
        refreshToken: 'same',
        account: 'id and username',
        accessToken: { jwt: true, jwtLifeSeconds: 3600 },
      },
    ],
    [{ tokenRequest: 'form' }, { encodings: ['form'] }],
    [{ tokenRequest: 'json' }, { encodings: ['json'] }],
    [{ codeParameter: 'code' }, { codeParameters: ['code'] }],
    [{ codeParameter: 'authorization_code' }, { codeParameters: ['authorization_code'] }],
    [{ errorShape: 'message' }, { errorShape: 'message' }],
    [{ errorShape: 'html' }, { errorShape: 'html' }],
    [
      { errorShape: 'empty', tokenRequest: 'json' },
      { errorShape: 'empty', encodings: ['json'], codeParameters: null },
    ],
    [
      { omitExpiresIn: true, tokenLifetime: 900 },
      { expiresIn: null, accessToken: { jwtLifeSeconds: 900 } },
    ],
    [{ opaqueTokens: true, tokenLength: 2000 }, { accessToken: { jwt: false, length: 2000 } }],
    [{ rotation: 'always' }, { refreshToken: 'rotated', reuse: 'ends the grant' }],
    [{ rotation: 'grace' }, { refreshToken: 'rotated', reuse: 'works' }],
    [{ omitRefreshToken: true }, { refreshToken: 'left out' }],
    [{ refuseAccount: true }, { account: 'refused' }],
    [{ accountWithoutId: true }, { account: 'username' }],
  ]
  for (const [switches, expected] of variants) {
    const place = await buildWorld(t)
    t.match(await ask(place, switches), expected, JSON.stringify(switches))
  }
})

t.test('what costs nothing is asked alone, and the settings follow', async (t) => {
  const place = await buildWorld(t, { tokenRequest: 'json' })
  const config = loadConfig(place.env, { serve: true })
  const found = await probe(config, world, null, { reuse: false })
  t.match(found, { encodings: ['json'], refreshToken: null })
  t.equal(place.standIn.calls.authorize, 0)
  t.strictSame(settingsOf(found), ['ELLIPSIS_TOKEN_REQUEST=json'])
  const all = await ask(place, { rotation: 'always' }, false)
  t.equal(all.reuse, null, 'not without being asked to')
  t.strictSame(settingsOf(all), [
    'ELLIPSIS_TOKEN_REQUEST=json',
    'ELLIPSIS_ACCESS_TOKEN_LIFETIME=3600',
  ])
  const wrong = { ...config, ellipsis: { ...config.ellipsis, clientId: 'nobody' } }
  t.strictSame(settingsOf(await probe(wrong, world, null, { reuse: false })), [])
  await t.rejects(
    probe(config, world, async () => 'http://127.0.0.1/?error=access_denied', { reuse: false }),
    { name: 'ProbeError' },
  )
})

t.test('probe says what it found, and takes the address that the browser ended at', async (t) => {
  const { env } = await buildWorld(t)
  const free = await command(['probe', '--no-authorize'], env)
  t.match(free, { code: 0, stdout: /encodings.*form/s })
  t.match(free.stderr, 'ELLIPSIS_TOKEN_REQUEST=form')
  const nobody = await command(['probe', '--json'], { ...env, BROKER_PORT: '0' }, 'no address\n')
  t.match(nobody, { code: 1, stderr: /did not come back/ })
})
