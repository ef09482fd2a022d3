import t from 'tap'
import type { Test } from 'tap'
import { RETURN, addApp, allow, authorizationRequest } from '../../helper.ts'
import { Visitor } from '../../visitor.ts'
import { setUpBadInput } from './setup.ts'

t.test('malformed callbacks', async (t) => {
  const { broker, services, url, app, hasChanged } = await setUpBadInput(t)

  /** Runs a flow up to the redirect from Ellipsis Drive. Returns the callback URL, not opened. */
  async function createCallbackUrl(visitor: Visitor): Promise<string> {
    const { parameters } = authorizationRequest(app)
    const query = new URLSearchParams(parameters).toString()
    const consent = await visitor.open(`${url}/oauth/authorize?${query}`)
    const stopAt = `${url}/callback`
    const login = await visitor.press(consent, 'Continue to Ellipsis Drive', {}, stopAt)
    return (await allow(visitor, login, 'amelie', stopAt)).url
  }

  t.test('callback', async (t) => {
    const visitor = new Visitor()
    const callback = await createCallbackUrl(visitor)
    const otherVisitor = new Visitor()
    const otherCallback = await createCallbackUrl(otherVisitor)
    const checkRejected = async (t: Test, visitor: Visitor, url: string) => {
      hasChanged()
      const page = await visitor.open(url, 'https://')
      t.equal(page.status, 400)
      t.match(page.body, 'Something went wrong')
      t.notOk(hasChanged(), 'nothing was written')
    }
    const without = (name: string) => {
      const address = new URL(callback)
      address.searchParams.delete(name)
      return address.href
    }
    const withState = (value: string) => {
      const address = new URL(callback)
      address.searchParams.set('state', value)
      return address.href
    }
    await t.test('no state', (t) => checkRejected(t, visitor, without('state')))
    await t.test('empty state', (t) => checkRejected(t, visitor, withState('')))
    await t.test('unknown state', (t) => checkRejected(t, visitor, withState('x'.repeat(43))))
    await t.test('SQL in state', (t) => checkRejected(t, visitor, withState("' or ''='")))
    await t.test('repeated state', (t) => checkRejected(t, visitor, `${callback}&state=x`))
    await t.test('another browser’s state', (t) => checkRejected(t, visitor, otherCallback))
    await t.test('no cookie', (t) => checkRejected(t, new Visitor(), callback))
    await t.test('another flow’s cookie under the right name', async (t) => {
      const thief = new Visitor()
      const [name = ''] = [...visitor.cookies(url).keys()].filter((key) => key.startsWith('flow-'))
      const stolen =
        [...otherVisitor.cookies(url)].find(([key]) => key.startsWith('flow-'))?.[1] ?? ''
      hasChanged()
      const headers = { cookie: `${name}=${stolen}` }
      const answer = await fetch(callback, { headers, redirect: 'manual' })
      t.equal(answer.status, 400)
      t.equal((await thief.open(callback)).status, 400)
      t.notOk(hasChanged())
    })
    await t.test('used state', async (t) => {
      const page = await visitor.open(callback, RETURN)
      t.ok(new URL(page.url).searchParams.has('code'))
      hasChanged()
      const again = await visitor.open(callback, RETURN)
      t.equal(again.url, page.url, 'the browser may repeat it')
      t.notOk(hasChanged(), 'nothing was written')
    })
    await t.test('a callback without code ends the flow with an error to the app', async (t) => {
      const address = new URL(otherCallback)
      address.searchParams.delete('code')
      const page = await otherVisitor.open(address.href, RETURN)
      t.equal(new URL(page.url).searchParams.get('error'), 'server_error')
    })
    for (const [received, forwarded] of [
      ['access_denied', 'access_denied'],
      ['temporarily_unavailable', 'temporarily_unavailable'],
      ['unauthorized_client', 'server_error'],
    ]) {
      await t.test(`Ellipsis Drive’s error ${received}`, async (t) => {
        const address = new URL(await createCallbackUrl(visitor))
        address.searchParams.delete('code')
        address.searchParams.set('error', received ?? '')
        const page = await visitor.open(address.href, RETURN)
        t.equal(new URL(page.url).searchParams.get('error'), forwarded)
      })
    }
    await t.test('an app that was removed during the flow', async (t) => {
      const removedApp = await addApp(broker, { name: 'Removed' })
      const { parameters } = authorizationRequest(removedApp)
      const consent = await visitor.open(
        `${url}/oauth/authorize?${new URLSearchParams(parameters).toString()}`,
      )
      const stopAt = `${url}/callback`
      const login = await visitor.press(consent, 'Continue to Ellipsis Drive', {}, stopAt)
      const callback = await allow(visitor, login, 'amelie', stopAt)
      await services.apps.remove(removedApp.id, 'test')
      const page = await visitor.open(callback.url, 'https://')
      t.equal(page.status, 400)
    })
  })
})
