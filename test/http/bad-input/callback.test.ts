import t from 'tap'
import { RETURN, addApp, allow, authorizationRequest } from '../../helper.ts'
import { Visitor } from '../../visitor.ts'
import type { Test as Tap } from 'tap'
import { setUp } from './set-up.ts'

t.test('malformed callbacks', async (t) => {
  const { broker, services, url, app, changed } = await setUp(t)

  /** Takes a visitor up to the address at which Ellipsis Drive would return. */
  async function untilCallback(visitor: Visitor): Promise<string> {
    const { parameters } = authorizationRequest(app)
    const query = new URLSearchParams(parameters).toString()
    const asked = await visitor.open(`${url}/oauth/authorize?${query}`)
    const stopAt = `${url}/callback`
    const login = await visitor.press(asked, 'Continue to Ellipsis Drive', {}, stopAt)
    return (await allow(visitor, login, 'amelie', stopAt)).url
  }

  t.test('callback', async (t) => {
    const visitor = new Visitor()
    const callback = await untilCallback(visitor)
    const foreign = new Visitor()
    const othersCallback = await untilCallback(foreign)
    const refusedAt = async (t: Tap, who: Visitor, address: string) => {
      changed()
      const page = await who.open(address, 'https://')
      t.equal(page.status, 400)
      t.match(page.body, 'Something went wrong')
      t.notOk(changed(), 'nothing was written')
    }
    const without = (name: string) => {
      const address = new URL(callback)
      address.searchParams.delete(name)
      return address.href
    }
    const state = (value: string) => {
      const address = new URL(callback)
      address.searchParams.set('state', value)
      return address.href
    }
    await t.test('no state', (t) => refusedAt(t, visitor, without('state')))
    await t.test('empty state', (t) => refusedAt(t, visitor, state('')))
    await t.test('unknown state', (t) => refusedAt(t, visitor, state('x'.repeat(43))))
    await t.test('state as SQL', (t) => refusedAt(t, visitor, state("' or ''='")))
    await t.test('state twice', (t) => refusedAt(t, visitor, `${callback}&state=x`))
    await t.test('another browser’s state', (t) => refusedAt(t, visitor, othersCallback))
    await t.test('no cookie', (t) => refusedAt(t, new Visitor(), callback))
    await t.test('another flow’s cookie under the right name', async (t) => {
      const thief = new Visitor()
      const [name = ''] = [...visitor.cookies(url).keys()].filter((key) => key.startsWith('flow-'))
      const stolen = [...foreign.cookies(url)].find(([key]) => key.startsWith('flow-'))?.[1] ?? ''
      changed()
      const headers = { cookie: `${name}=${stolen}` }
      const answer = await fetch(callback, { headers, redirect: 'manual' })
      t.equal(answer.status, 400)
      t.equal((await thief.open(callback)).status, 400)
      t.notOk(changed())
    })
    await t.test('used state', async (t) => {
      const page = await visitor.open(callback, RETURN)
      t.ok(new URL(page.url).searchParams.has('code'))
      await refusedAt(t, visitor, callback)
    })
    await t.test('no code ends the flow, and tells the app', async (t) => {
      const address = new URL(othersCallback)
      address.searchParams.delete('code')
      const page = await foreign.open(address.href, RETURN)
      t.equal(new URL(page.url).searchParams.get('error'), 'server_error')
    })
    for (const [sent, told] of [
      ['access_denied', 'access_denied'],
      ['temporarily_unavailable', 'temporarily_unavailable'],
      ['unauthorized_client', 'server_error'],
    ]) {
      await t.test(`Ellipsis Drive’s own ${sent}`, async (t) => {
        const address = new URL(await untilCallback(visitor))
        address.searchParams.delete('code')
        address.searchParams.set('error', sent ?? '')
        const page = await visitor.open(address.href, RETURN)
        t.equal(new URL(page.url).searchParams.get('error'), told)
      })
    }
    await t.test('an app that was removed meanwhile', async (t) => {
      const brief = await addApp(broker, { name: 'Brief' })
      const { parameters } = authorizationRequest(brief)
      const asked = await visitor.open(
        `${url}/oauth/authorize?${new URLSearchParams(parameters).toString()}`,
      )
      const stopAt = `${url}/callback`
      const login = await visitor.press(asked, 'Continue to Ellipsis Drive', {}, stopAt)
      const back = await allow(visitor, login, 'amelie', stopAt)
      await services.apps.remove(brief.id, 'test')
      const page = await visitor.open(back.url, 'https://')
      t.equal(page.status, 400)
    })
  })
})
