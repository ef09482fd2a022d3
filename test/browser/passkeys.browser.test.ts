import type { Page } from 'playwright-core'
import t from 'tap'
import type { Test } from 'tap'
import type { PasskeyPurpose } from '../../server/admin/passkey-challenge.ts'
import type { PasskeyOffer } from '../../server/admin/passkeys.ts'
import type { Browser as AdminsBrowser, SignedIn } from '../../server/admin/sessions.ts'
import { Secret } from '../../server/secret.ts'
import { PASSWORD } from '../admin.ts'
import { buildBroker } from '../helper.ts'
import type { TestBroker } from '../helper.ts'
import { addAuthenticator, createCredential, getCredential } from './authenticator.ts'
import { launch, noBrowser, visit } from './chromium.ts'

// The domain, with what a real browser and its (virtual) authenticator make of its options.

t.test('passkeys', { skip: noBrowser }, async (t) => {
  const EMAIL = 'ada@example.com'
  const MINUTE_MS = 60_000
  const browser: AdminsBrowser = {
    address: '192.0.2.1',
    userAgent: undefined,
    device: undefined,
    isAddressShared: false,
  }

  /** A page of the broker in a window with an authenticator. */
  const openPage = async (t: Test, { url }: TestBroker) => {
    const page = await (await visit(t, await launch(t))).newPage()
    await page.goto(`${url}/admin/sign-in`)
    return { page, authenticator: await addAuthenticator(page) }
  }

  const signInWithPassword = async (
    { services }: TestBroker,
    email = EMAIL,
    { halfway = false } = {},
  ): Promise<SignedIn> => {
    const { store, admins, sessions } = services
    if (!(await store.findAdmin(email))) await admins.add(email, new Secret(PASSWORD), 'test')
    const admin = await store.findAdmin(email)
    const begun = admin && (await sessions.begin(admin, browser, { halfway }))
    const found = begun && (await sessions.find(begun.session))
    if (!found) throw new Error('not signed in')
    return found
  }

  const addPasskey = async (broker: TestBroker, page: Page, email = EMAIL) => {
    const { passkeys } = broker.services
    const signedIn = await signInWithPassword(broker, email)
    const { options, challenge } = await passkeys.offerNew(signedIn)
    const response = await createCredential(page, options)
    const made = { response, challenge, name: 'Laptop' }
    return { signedIn, made, added: await passkeys.add(signedIn, made, browser.address) }
  }

  const answer = async (page: Page, { options, challenge }: PasskeyOffer) => ({
    response: await getCredential(page, options),
    challenge,
  })

  /** Signs in with a passkey of the page. */
  const signIn = async ({ services }: TestBroker, page: Page, halfway?: SignedIn) => {
    const { passkeySignIn } = services
    const response = await answer(page, await passkeySignIn.offer(halfway))
    return passkeySignIn.signIn(halfway, response, browser)
  }

  const newestEvents = async ({ services }: TestBroker, limit = 1) =>
    (await services.store.listEvents({ limit })).rows

  const build = (t: Test, options: object = {}) => buildBroker(t, { host: 'localhost', ...options })

  t.test('a passkey signs in alone, and after the password', async (t) => {
    const broker = await build(t)
    const { store, sessions } = broker.services
    const { page } = await openPage(t, broker)
    const { signedIn, added } = await addPasskey(broker, page)
    t.strictSame(added, { kind: 'added', name: 'Laptop' })
    const owner = { actor: `admin:${EMAIL}`, address: browser.address }
    t.match(await newestEvents(broker), [
      { action: 'admin.passkey_added', details: 'Laptop', ...owner },
    ])
    const [passkey] = await store.listPasskeys(signedIn.admin.id)
    t.match(passkey, { transports: ['internal'], lastUsedAt: null, adminId: signedIn.admin.id })

    const alone = await signIn(broker, page)
    t.equal(alone.kind, 'signed_in')
    t.match(await newestEvents(broker, 2), [
      { action: 'admin.signed_in', ...owner },
      { action: 'admin.passkey_used', details: 'Laptop', ...owner },
    ])
    const halfway = await signInWithPassword(broker, EMAIL, { halfway: true })
    const after = await signIn(broker, page, halfway)
    if (after.kind !== 'signed_in') throw new Error(after.kind)
    t.equal((await sessions.find(after.session))?.session.complete, true)
    t.strictSame(await signIn(broker, page, halfway), { kind: 'refused' }, 'it was replaced')
    const [used] = await store.listPasskeys(signedIn.admin.id)
    t.ok((used?.counter ?? 0) > (passkey?.counter ?? 0))
    t.type(used?.lastUsedAt, 'number')
  })

  t.test('a response counts once, in five minutes, for what it was asked for', async (t) => {
    const broker = await build(t)
    const { passkeys, passkeySignIn } = broker.services
    const { page } = await openPage(t, broker)
    const { signedIn, made } = await addPasskey(broker, page)
    t.strictSame(await passkeys.add(signedIn, made, '::1'), { kind: 'refused' }, 'a replayed one')

    const response = await answer(page, await passkeySignIn.offer(undefined))
    t.match(await passkeySignIn.signIn(undefined, response, browser), { kind: 'signed_in' })
    t.strictSame(await passkeySignIn.signIn(undefined, response, browser), { kind: 'refused' })

    const late = await answer(page, await passkeySignIn.offer(undefined))
    broker.clock.advance(5 * MINUTE_MS)
    t.strictSame(await passkeySignIn.signIn(undefined, late, browser), { kind: 'refused' })

    const { idHash } = signedIn.session
    const others: PasskeyPurpose[] = [`code ${idHash}`, `confirm ${idHash}`, 'confirm other']
    for (const purpose of others) {
      const offer = await passkeys.offer(purpose, null)
      const wrong = await answer(page, offer)
      t.strictSame(
        await passkeySignIn.signIn(undefined, wrong, browser),
        { kind: 'refused' },
        purpose,
      )
    }
    for (const challenge of [undefined, new Secret(''), new Secret('AAAA')]) {
      const { response } = await answer(page, await passkeySignIn.offer(undefined))
      const outcome = await passkeySignIn.signIn(undefined, { response, challenge }, browser)
      t.strictSame(outcome, { kind: 'refused' }, 'a challenge that the broker did not make')
    }
  })

  t.test('a response from another origin of the same host is refused', async (t) => {
    const [broker, other] = [await build(t), await build(t)]
    const { passkeys } = broker.services
    const { page } = await openPage(t, broker)
    const { signedIn, added } = await addPasskey(broker, page)
    t.equal(added.kind, 'added')
    await page.goto(`${other.url}/admin/sign-in`)
    t.strictSame(await signIn(broker, page), { kind: 'refused' })
    const made = await passkeys.offerNew({ ...signedIn, admin: { ...signedIn.admin, id: 'x' } })
    const response = await createCredential(page, { ...made.options, excludeCredentials: [] })
    const adding = { response, challenge: made.challenge, name: '' }
    t.strictSame(await passkeys.add(signedIn, adding, '::1'), { kind: 'refused' })
    await page.goto(`${broker.url}/admin/sign-in`)
    const halfway = await signInWithPassword(broker, EMAIL, { halfway: true })
    t.match(await signIn(broker, page, halfway), { kind: 'signed_in' })
  })

  t.test('a passkey of another admin, or of another broker, is refused', async (t) => {
    const [broker, other] = [await build(t), await build(t)]
    const { page } = await openPage(t, broker)
    await addPasskey(broker, page, 'bob@example.com')
    const { page: adasPage } = await openPage(t, broker)
    await addPasskey(broker, adasPage)
    const halfway = await signInWithPassword(broker, EMAIL, { halfway: true })
    const offer = await broker.services.passkeySignIn.offer(halfway)
    const options = { ...offer.options, allowCredentials: [] }
    const response = await answer(page, { ...offer, options })
    const outcome = await broker.services.passkeySignIn.signIn(halfway, response, browser)
    t.strictSame(outcome, { kind: 'refused' })
    const failed = { action: 'admin.passkey_failed', actor: 'system', address: browser.address }
    t.match(await newestEvents(broker), [{ ...failed, details: EMAIL }])
    t.match(await signIn(broker, adasPage, halfway), { kind: 'signed_in' }, 'their own one')

    t.strictSame(await signIn(other, page), { kind: 'refused' })
    t.match(await newestEvents(other), [{ ...failed, details: 'no such account' }])
    for (const response of ['', 'null', '{}', '{"id":1}', `{"id":"${'x'.repeat(30_000)}"}`]) {
      const nonsense = { response, challenge: undefined }
      const refused = await other.services.passkeySignIn.signIn(undefined, nonsense, browser)
      t.match(refused.kind, /refused|slowed/)
    }
  })

  t.test('a copy of a passkey is noticed by its counter', async (t) => {
    const broker = await build(t)
    const { page, authenticator } = await openPage(t, broker)
    await addPasskey(broker, page)
    const [copied] = await authenticator.credentials()
    if (!copied) throw new Error('no credential')
    t.match(await signIn(broker, page), { kind: 'signed_in' })
    await authenticator.remove()
    const thief = await openPage(t, broker)
    await thief.authenticator.insert(copied)
    t.strictSame(await signIn(broker, thief.page), { kind: 'refused' })
    const [event] = await newestEvents(broker)
    t.match(event, { action: 'admin.passkey_failed', details: /ada@.*“Laptop”.*may be a copy/ })
  })

  t.test('a removed passkey does not sign in, not even while it is removed', async (t) => {
    const broker = await build(t)
    const { passkeys, sessions, store } = broker.services
    const { page } = await openPage(t, broker)
    const { signedIn } = await addPasskey(broker, page)
    const admin = await store.findAdmin(EMAIL)
    const [passkey] = await passkeys.list(signedIn.admin.id)
    if (!admin || !passkey) throw new Error('no passkey')
    const actor = { actor: `admin:${EMAIL}`, address: '::1' }
    t.equal(await passkeys.remove({ id: 'another' }, passkey.id, actor), undefined)
    t.match(await passkeys.remove(signedIn.admin, passkey.id, actor), { name: 'Laptop' })
    t.equal(await passkeys.remove(signedIn.admin, passkey.id, actor), undefined)
    t.match(await newestEvents(broker), [{ action: 'admin.passkey_removed', ...actor }])
    t.equal(await sessions.begin(admin, browser), undefined)
    t.strictSame(await signIn(broker, page), { kind: 'refused' })
  })

  t.test('without a check of the person, a passkey is refused', async (t) => {
    const broker = await build(t)
    const { passkeySignIn, passkeys } = broker.services
    const { page, authenticator } = await openPage(t, broker)
    await addPasskey(broker, page)
    await authenticator.setVerified(false)
    const offer = await passkeySignIn.offer(undefined)
    t.equal(offer.options.userVerification, 'required')
    await t.rejects(getCredential(page, offer.options), /NotAllowedError/)
    const options = { ...offer.options, userVerification: 'discouraged' as const }
    const response = await answer(page, { ...offer, options })
    t.strictSame(await passkeySignIn.signIn(undefined, response, browser), { kind: 'refused' })

    await authenticator.setVerified(true)
    t.match(await signIn(broker, page), { kind: 'signed_in' })

    await authenticator.remove()
    await addAuthenticator(page, { hasUserVerification: false })
    const signedIn = await signInWithPassword(broker, 'bob@example.com')
    const made = await passkeys.offerNew(signedIn)
    t.equal(made.options.authenticatorSelection?.userVerification, 'required')
    const lax = { residentKey: 'discouraged', userVerification: 'discouraged' }
    const weak = await createCredential(page, { ...made.options, authenticatorSelection: lax })
    const adding = { response: weak, challenge: made.challenge, name: '' }
    t.strictSame(await passkeys.add(signedIn, adding, '::1'), { kind: 'refused' })
  })

  t.test('confirming needs a passkey of the same admin, and attempts are limited', async (t) => {
    const broker = await build(t)
    const { passkeySignIn } = broker.services
    const { page } = await openPage(t, broker)
    await addPasskey(broker, page)
    const signedIn = await signInWithPassword(broker)
    const response = await answer(page, await passkeySignIn.offerAgain(signedIn))
    t.match(await passkeySignIn.again(signedIn, response, browser), { kind: 'signed_in' })
    t.match(await newestEvents(broker, 2), [
      { action: 'admin.identity_confirmed' },
      { action: 'admin.passkey_used' },
    ])
    const nothing = { response: response.response, challenge: undefined }
    const again = await signInWithPassword(broker)
    for (let count = 0; count < 10; count++)
      t.strictSame(await passkeySignIn.again(again, nothing, browser), { kind: 'refused' })
    t.match(await passkeySignIn.again(again, nothing, browser), { kind: 'slowed' })
    for (let count = 0; count < 10; count++) await passkeySignIn.signIn(undefined, nothing, browser)
    t.match(await passkeySignIn.signIn(undefined, nothing, browser), { kind: 'slowed' })
    const [slowed] = await newestEvents(broker)
    t.match(slowed, { action: 'admin.sign_in_slowed', details: EMAIL })
  })
})
