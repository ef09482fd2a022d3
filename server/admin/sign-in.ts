import type { Admin, Store } from '../../db/store.ts'
import type { Secret } from '../secret.ts'
import type { LoginAttempt, LoginThrottle } from './login-throttle.ts'
import type { Clock } from '../runtime.ts'
import { normalizeEmail } from '../visible-text.ts'
import { sha256 } from '../crypto/hash.ts'
import type { Passwords } from './password.ts'
import type { SecondFactors } from './second-factor.ts'
import type { Browser, Sessions, SignedIn } from './sessions.ts'

/** The result of an attempt to sign in. */
type SignInOutcome =
  | { kind: 'signed_in'; session: Secret; device: Secret }
  /** The password is correct; the second factor is still missing. */
  | { kind: 'halfway'; session: Secret }
  | { kind: 'refused' }
  /** Too many failures; `until` in milliseconds since the epoch. */
  | { kind: 'slowed'; until: number }

/** The result of checking a signed-in admin's password. */
type PasswordOutcome = { kind: 'right' | 'wrong' } | { kind: 'slowed'; until: number }

/** Sign-in with e-mail address and password, and with the second factor if there is one. */
interface SignIn {
  /** An unknown address takes as long and gets the same result. @throws BrokerError `slow_down` */
  withPassword(email: string, password: Secret, browser: Browser): Promise<SignInOutcome>
  /**
   * @param halfway the session begun with the password
   * @param code of the second factor, or a recovery code
   */
  withCode(
    halfway: SignedIn,
    code: string,
    browser: Browser,
  ): Promise<Exclude<SignInOutcome, { kind: 'halfway' }>>
  /** Checks a signed-in admin's password; counts as an attempt to sign in. */
  prove(admin: Admin, password: Secret, browser: Browser): Promise<PasswordOutcome>
}

export function createSignIn(dependencies: {
  store: Store
  passwords: Passwords
  sessions: Sessions
  loginThrottle: LoginThrottle
  secondFactors: SecondFactors
  clock: Clock
}): SignIn {
  const { store, passwords, sessions, loginThrottle, secondFactors, clock } = dependencies

  const isKnown = async (adminId: string | undefined, { device }: Browser): Promise<boolean> => {
    if (adminId === undefined || !device) return false
    const secretHash = sha256(device.reveal())
    return store.isDevice({ secretHash, adminId, now: clock.now() })
  }

  const recordFailure = async (
    action: string,
    admin: Admin | undefined,
    { address }: Browser,
    { wasLast }: Pick<LoginAttempt, 'wasLast'>,
  ): Promise<void> => {
    const details = admin?.email ?? 'no such account'
    const event = { at: clock.now(), actor: 'system', address, details }
    const limited = { ...event, action: 'admin.sign_in_slowed' }
    await store.addEvents([{ ...event, action }, ...(wasLast ? [limited] : [])])
  }

  const checkPassword = async (
    account: string,
    admin: Admin | undefined,
    password: Secret,
    browser: Browser,
  ): Promise<PasswordOutcome> => {
    const attempt = await loginThrottle.take({
      kind: 'password',
      account,
      browser,
      isKnown: await isKnown(admin?.id, browser),
    })
    if ('refusedUntil' in attempt) return { kind: 'slowed', until: attempt.refusedUntil }
    const isRight = await passwords.verify(password, admin?.passwordHash)
    if (admin && isRight) {
      await attempt.giveBack()
      return { kind: 'right' }
    }
    await recordFailure('admin.sign_in_failed', admin, browser, attempt)
    return { kind: 'wrong' }
  }

  return {
    prove: (admin, password, browser) => checkPassword(admin.email, admin, password, browser),

    async withPassword(address, password, browser) {
      const account = normalizeEmail(address)
      const admin = await store.findAdmin(account)
      const outcome = await checkPassword(account, admin, password, browser)
      if (outcome.kind === 'slowed') return outcome
      if (!admin || outcome.kind === 'wrong') return { kind: 'refused' }
      const halfway = admin.secondFactorSince !== null
      const begun = await sessions.begin(admin, browser, { halfway })
      if (!begun) {
        // The password changed, or a second factor was added, during the check.
        await recordFailure('admin.sign_in_failed', admin, browser, { wasLast: false })
        return { kind: 'refused' }
      }
      return halfway ? { kind: 'halfway', session: begun.session } : { kind: 'signed_in', ...begun }
    },

    async withCode({ admin, session }, code, browser) {
      const attempt = await loginThrottle.take({
        kind: 'code',
        account: admin.id,
        browser,
        isKnown: await isKnown(admin.id, browser),
      })
      if ('refusedUntil' in attempt) return { kind: 'slowed', until: attempt.refusedUntil }
      if (!(await secondFactors.use(admin, code, browser.address))) {
        await recordFailure('admin.second_factor_failed', admin, browser, attempt)
        return { kind: 'refused' }
      }
      await attempt.giveBack()
      const begun = await sessions.begin(admin, browser, { replaces: session.idHash })
      return begun ? { kind: 'signed_in', ...begun } : { kind: 'refused' }
    },
  }
}
