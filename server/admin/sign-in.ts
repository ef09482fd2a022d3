import type { Admin, Store } from '../../db/store.ts'
import type { Secret } from '../secret.ts'
import { hasSecondFactor } from './admins.ts'
import { createLoginAttempts } from './login-attempts.ts'
import type { LoginThrottle } from './login-throttle.ts'
import type { Clock } from '../runtime.ts'
import { normalizeEmail } from '../visible-text.ts'
import type { Passwords } from './password.ts'
import type { SecondFactors } from './second-factor.ts'
import type { Browser, Sessions, SignedIn } from './sessions.ts'

/** The result of an attempt to sign in. */
export type SignInOutcome =
  | { kind: 'signed_in'; session: Secret; device: Secret }
  /** The password is correct; the second factor is still missing. */
  | { kind: 'halfway'; session: Secret }
  | { kind: 'refused' }
  /** Too many failures; `until` in milliseconds since the epoch. */
  | { kind: 'slowed'; until: number }

/** The result of checking who a signed-in admin is. */
type ProofOutcome = { kind: 'right' } | ProofFailure

/** `until` in milliseconds since the epoch. */
export type ProofFailure =
  { kind: 'wrong_password' | 'wrong_code' } | { kind: 'slowed'; until: number }

/** What an admin proves with who they are; a code is only checked if there is a second factor. */
interface Proof {
  password: Secret
  /** Of the second factor, or a recovery code; `null`: the password is enough. */
  code: string | null
}

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
  /**
   * Checks who a signed-in admin is. Failures count for the session: nobody else can use up its attempts.
   * @throws BrokerError `slow_down`
   */
  prove(signedIn: SignedIn, proof: Proof, browser: Browser): Promise<ProofOutcome>
  /** The same, and replaces the session by a fresh one. `ended`: it ended meanwhile. */
  again(
    signedIn: SignedIn,
    proof: Proof,
    browser: Browser,
  ): Promise<
    ProofFailure | { kind: 'ended' } | { kind: 'signed_in'; session: Secret; device: Secret }
  >
}

export function createSignIn(dependencies: {
  store: Store
  passwords: Passwords
  sessions: Sessions
  loginThrottle: LoginThrottle
  secondFactors: SecondFactors
  config: { adminPasswords: boolean }
  clock: Clock
}): SignIn {
  const { store, passwords, sessions, loginThrottle, secondFactors, config } = dependencies
  const { ownOf, recordFailure } = createLoginAttempts(dependencies)

  /** Attempts count once they have a place among the checks: one that is rejected costs nothing. */
  const checkPassword = (
    target: { account: string; admin: Admin | undefined; own: string | null },
    password: Secret,
    browser: Browser,
  ): Promise<ProofOutcome> =>
    passwords.admit(target.own === null ? 'stranger' : 'known', async (verify) => {
      const { admin } = target
      const attempt = await loginThrottle.take({ kind: 'password', ...target, browser })
      if ('refusedUntil' in attempt) return { kind: 'slowed', until: attempt.refusedUntil }
      const isRight = await verify(password, admin?.passwordHash)
      if (admin && isRight) {
        await attempt.giveBack()
        return { kind: 'right' }
      }
      await recordFailure('admin.sign_in_failed', admin, browser, attempt)
      return { kind: 'wrong_password' }
    })

  const checkCode = async (
    { admin, own }: { admin: Admin; own: string | null },
    code: string,
    browser: Browser,
  ): Promise<ProofOutcome> => {
    const account = credentialsOf(admin)
    const attempt = await loginThrottle.take({ kind: 'code', account, browser, own })
    if ('refusedUntil' in attempt) return { kind: 'slowed', until: attempt.refusedUntil }
    if (await secondFactors.use(admin, code, browser.address)) {
      await attempt.giveBack()
      return { kind: 'right' }
    }
    await recordFailure('admin.second_factor_failed', admin, browser, attempt)
    return { kind: 'wrong_code' }
  }

  const prove: SignIn['prove'] = async ({ admin, session }, { password, code }, browser) => {
    if (!config.adminPasswords) return { kind: 'wrong_password' }
    const target = { account: admin.email, admin, own: `session ${session.idHash}` }
    const outcome = await checkPassword(target, password, browser)
    if (outcome.kind !== 'right' || code === null || !hasSecondFactor(admin)) return outcome
    return checkCode(target, code, browser)
  }

  return {
    prove,

    async again(signedIn, proof, browser) {
      const outcome = await prove(signedIn, proof, browser)
      if (outcome.kind !== 'right') return outcome
      const replaces = signedIn.session.idHash
      const action = 'admin.identity_confirmed'
      const begun = await sessions.begin(signedIn.admin, browser, { replaces, action })
      return begun ? { kind: 'signed_in', ...begun } : { kind: 'ended' }
    },

    async withPassword(address, password, browser) {
      if (!config.adminPasswords) return { kind: 'refused' }
      const account = normalizeEmail(address)
      const admin = await store.findAdmin(account)
      const target = { account, admin, own: await ownOf(admin?.id, browser) }
      const outcome = await checkPassword(target, password, browser)
      if (outcome.kind === 'slowed') return outcome
      if (!admin || outcome.kind !== 'right') return { kind: 'refused' }
      const halfway = hasSecondFactor(admin)
      const begun = await sessions.begin(admin, browser, { halfway })
      if (!begun) {
        // The password changed, or a second factor was added, during the check.
        await recordFailure('admin.sign_in_failed', admin, browser, { wasLast: false })
        return { kind: 'refused' }
      }
      return halfway ? { kind: 'halfway', session: begun.session } : { kind: 'signed_in', ...begun }
    },

    async withCode({ admin, session }, code, browser) {
      if (!config.adminPasswords) return { kind: 'refused' }
      const own = await ownOf(admin.id, browser)
      const outcome = await checkCode({ admin, own }, code, browser)
      if (outcome.kind === 'slowed') return outcome
      if (outcome.kind !== 'right') return { kind: 'refused' }
      const begun = await sessions.begin(admin, browser, { replaces: session.idHash })
      return begun ? { kind: 'signed_in', ...begun } : { kind: 'refused' }
    },
  }
}

/** Names the password and the second factor, so that a new one of either starts with no failures. */
const credentialsOf = ({ id, passwordHash, secondFactorSince }: Admin): string =>
  [id, passwordHash, secondFactorSince].join(' ')
