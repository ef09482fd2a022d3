import t from 'tap'
import { noApache, startApache } from '../apache.ts'
import { launch, noBrowser, visit } from '../browser/chromium.ts'
import { addAppWithSecret, buildBroker, freePort } from '../helper.ts'
import { codeBlock } from './code-block.ts'

t.test(
  'apache.md: a static page behind mod_auth_openidc',
  { skip: noApache || noBrowser },
  async (t) => {
    const broker = await buildBroker(t)
    const port = await freePort()
    const here = `http://127.0.0.1:${port}`
    const { app, clientSecret } = await addAppWithSecret(broker, {
      ...{ confidential: true, tokens: 'ellipsis', redirectUris: [`${here}/signed-in`] },
    })
    const adapt = (text: string): string =>
      text
        .replaceAll('https://broker.example.com', broker.url)
        .replaceAll('https://maps.example.com', here)
        .replace('app_…', app.id)
        .replace('OIDCClientSecret …', `OIDCClientSecret ${clientSecret?.reveal() ?? ''}`)
        .replace('https://api.ellipsis-drive.com/v3', broker.env.ELLIPSIS_API_URL ?? '')
    const output = await startApache(t, port, ({ path, write }) => {
      write('passphrase', 'a random line')
      write('pages/refused.html', '<p>You refused.')
      write('pages/index.html', adapt(codeBlock('apache', 'html')))
      const configuration = adapt(codeBlock('apache', 'apache'))
      return configuration.replace('/etc/apache2/oidc-passphrase', `${path}/passphrase`)
    })
    t.teardown(() => t.passing() || console.error(output()))

    const context = await visit(t, await launch(t))
    const page = await context.newPage()
    await page.goto(here)
    await page.getByRole('button', { name: 'Deny' }).click()
    await page.waitForURL(`${here}/refused.html`)
    await page.goto(here)
    await page.getByRole('button', { name: 'Continue to Ellipsis Drive' }).click()
    await page.getByRole('button', { name: 'Log in as Amelie Laurent' }).click()
    await page.getByRole('button', { name: 'Allow' }).click()
    const connected = page.getByText('amelie is connected as amelie')
    await connected.waitFor()
    t.equal(page.url(), `${here}/`)
    await page.reload()
    await connected.waitFor()

    // Apache's token is too old for the page.
    await context.clock.setSystemTime(Date.now() + 3_600_000)
    await page.reload()
    await page.getByRole('button', { name: 'Continue to Ellipsis Drive' }).waitFor()
    await context.clock.setSystemTime(Date.now())
    await page.getByRole('button', { name: 'Continue to Ellipsis Drive' }).click()
    await connected.waitFor()

    const readToken = () =>
      page.evaluate(async () => {
        const answer = await fetch('/signed-in?info=json&access_token_refresh_interval=0')
        return ((await answer.json()) as { access_token: string }).access_token
      })
    // Apache measures the interval in whole seconds.
    const waitForNewToken = async (old: string): Promise<string> => {
      const token = await readToken()
      return token === old ? waitForNewToken(old) : token
    }
    const first = await readToken()
    broker.clock.advance(16 * 86_400_000)
    const second = await waitForNewToken(first)
    broker.clock.advance(3_590_000)
    const third = await waitForNewToken(second)
    t.ok(broker.standIn.issued().includes(third), 'refreshed with the renewed refresh token')
  },
)
