import t from 'tap'
import { createSnippets } from '../../../server/http/snippets/snippets.ts'
import { launch, noBrowser, visit } from '../../browser/chromium.ts'
import { addApp, buildBroker } from '../../helper.ts'
import { listen } from '../../listen.ts'

t.test('the snippet with the browser SDK connects a user', { skip: noBrowser }, async (t) => {
  const broker = await buildBroker(t)
  let snippet = ''
  const origin = await listen(t, (_request, response) => {
    response.setHeader('content-type', 'text/html')
    response.end(`<!doctype html><link rel="icon" href="data:,"><button id="connect">Connect</button>
      <script type="module">${snippet}</script>`)
  })
  const url = `${origin}/`
  for (const access of ['token', 'proxy'] as const) {
    const app = await addApp(broker, { redirectUris: [url], access })
    snippet = createSnippets(app, broker.url)[0]?.code ?? ''
    const page = await (await visit(t, await launch(t))).newPage()
    await page.goto(url)
    const [popup] = await Promise.all([page.waitForEvent('popup'), page.click('#connect')])
    await popup.getByRole('button', { name: 'Continue to Ellipsis Drive' }).click()
    await popup.getByRole('button', { name: 'Log in as Amelie Laurent' }).click()
    const allow = popup.getByRole('button', { name: 'Allow' })
    const logged = page.waitForEvent('console', (message) => message.type() === 'log')
    // Ellipsis Drive asks once, whichever app it is.
    await Promise.race([allow.click(), popup.waitForEvent('close')]).catch(() => undefined)
    t.match((await logged).text(), 'amelie', access)
  }
})
