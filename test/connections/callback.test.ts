import t from 'tap'
import { RETURN, addApp, allow, authorizationRequest, buildBroker } from '../helper.ts'
import { Visitor } from '../visitor.ts'

t.test('two tabs of one browser connect at once', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const visitor = new Visitor()
  const address = () =>
    `${broker.url}/oauth/authorize?${new URLSearchParams(authorizationRequest(app).parameters).toString()}`
  const [first, second] = [await visitor.open(address()), await visitor.open(address())]
  const login1 = await visitor.press(first, 'Continue to Ellipsis Drive')
  const login2 = await visitor.press(second, 'Continue to Ellipsis Drive')
  for (const login of [login2, login1]) {
    const page = await allow(visitor, login, 'amelie', RETURN)
    t.ok(new URL(page.url).searchParams.has('code'))
  }
})

t.test(
  'a callback from another browser is rejected, and the first browser can continue',
  async (t) => {
    const broker = await buildBroker(t)
    const app = await addApp(broker)
    const visitor = new Visitor()
    const { parameters } = authorizationRequest(app)
    const address = `${broker.url}/oauth/authorize?${new URLSearchParams(parameters).toString()}`
    const login = await visitor.press(await visitor.open(address), 'Continue to Ellipsis Drive')
    const callback = await allow(visitor, login, 'amelie', `${broker.url}/callback`)

    const stranger = await new Visitor().open(callback.url, RETURN)
    t.equal(stranger.status, 400)
    t.match(stranger.body, 'was started in another browser')
    t.equal(broker.standIn.calls.token, 0, 'the code was not touched')

    const page = await visitor.open(callback.url, RETURN)
    t.ok(new URL(page.url).searchParams.has('code'))
    const again = await visitor.open(callback.url, RETURN)
    t.equal(again.url, page.url, 'this browser may repeat it')
    t.equal(broker.standIn.calls.token, 1, 'the code was used once')
  },
)

t.test('a callback for an app that has just been removed shows an error', async (t) => {
  const broker = await buildBroker(t)
  const app = await addApp(broker)
  const visitor = new Visitor()
  const { parameters } = authorizationRequest(app)
  const address = `${broker.url}/oauth/authorize?${new URLSearchParams(parameters).toString()}`
  const login = await visitor.press(await visitor.open(address), 'Continue to Ellipsis Drive')
  const callback = await allow(visitor, login, 'amelie', `${broker.url}/callback`)
  await broker.services.apps.remove(app.id, 'test')
  const page = await visitor.open(callback.url, RETURN)
  t.equal(page.status, 400)
  t.match(page.body, 'This app was removed from this broker')
  t.equal(broker.standIn.calls.token, 0, 'the code was not touched')
})
