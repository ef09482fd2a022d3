import type { Store } from '../../db/store.ts'
import type { Clock } from '../runtime.ts'
import { sha256 } from '../crypto/hash.ts'
import { hasPassword } from './admins.ts'
import { createLoginAttempts } from './login-attempts.ts'
import type { LoginThrottle } from './login-throttle.ts'
import type { PasskeyPurpose } from './passkey-challenge.ts'
import type { PasskeyOffer, PasskeyResponse, Passkeys } from './passkeys.ts'
import type { Browser, Sessions, SignedIn } from './sessions.ts'
import type { SignInOutcome } from './sign-in.ts'

type PasskeyOutcome = Exclude<SignInOutcome, { kind: 'halfway' }>

/**
 * Sign-in with a passkey. The authenticator verifies the person, so a passkey takes the place of password and
 * second factor.
 */
interface PasskeySignIn {
  /** @param halfway the session begun with the password: only its admin's passkeys; `undefined`: anyone's */
  offer(halfway: SignedIn | undefined): Promise<PasskeyOffer>
  /** @param halfway the session begun with the password, which is replaced */
  signIn(
    halfway: SignedIn | undefined,
    response: PasskeyResponse,
    browser: Browser,
  ): Promise<PasskeyOutcome>
  /** Asks a signed-in admin to confirm who they are. */
  offerAgain(signedIn: SignedIn): Promise<PasskeyOffer>
  /** Checks who a signed-in admin is, and replaces the session by a fresh one. Failures count for the session. */
  again(signedIn: SignedIn, response: PasskeyResponse, browser: Browser): Promise<PasskeyOutcome>
}

export function createPasskeySignIn(dependencies: {
  store: Store
  passkeys: Passkeys
  sessions: Sessions
  loginThrottle: LoginThrottle
  config: { adminPasswords: boolean }
  clock: Clock
}): PasskeySignIn {
  const { passkeys, sessions, loginThrottle, config } = dependencies
  const { ownOf, recordFailure } = createLoginAttempts(dependencies)

  /** @param options.session the session that is replaced; its admin must own the passkey */
  const check = async (
    purpose: PasskeyPurpose,
    answer: PasskeyResponse,
    browser: Browser,
    options: { session: SignedIn | undefined; own?: string; action?: string },
  ): Promise<PasskeyOutcome> => {
    const { session, action } = options
    if (!config.adminPasswords) return { kind: 'refused' }
    const found = await passkeys.find(answer.response)
    const owner = session?.admin ?? found?.admin
    const own = options.own ?? (await ownOf(owner?.id, browser))
    const account = owner?.email ?? sha256(answer.response)
    const attempt = await loginThrottle.take({ kind: 'passkey', account, browser, own })
    if ('refusedUntil' in attempt) return { kind: 'slowed', until: attempt.refusedUntil }
    // Those whom the identity provider added lose access as soon as it refuses them.
    const isOwn = found !== undefined && found.admin.id === owner?.id && hasPassword(found.admin)
    const used = isOwn ? await passkeys.use(purpose, answer, found, browser.address) : 'refused'
    if (used === 'used' && found) {
      const replaces = session?.session.idHash
      const begun = await sessions.begin(found.admin, browser, {
        ...(replaces !== undefined && { replaces }),
        ...(action !== undefined && { action }),
      })
      await attempt.giveBack()
      if (begun) return { kind: 'signed_in', ...begun }
    }
    const note = used === 'copied' && found ? { note: COPIED(found.passkey.name) } : {}
    await recordFailure('admin.passkey_failed', owner, browser, { ...attempt, ...note })
    return { kind: 'refused' }
  }

  return {
    offer: (halfway) => passkeys.offer(purposeOf(halfway), halfway?.admin ?? null),

    signIn: (halfway, answer, browser) =>
      check(purposeOf(halfway), answer, browser, { session: halfway }),

    offerAgain: ({ admin, session }) => passkeys.offer(`confirm ${session.idHash}`, admin),

    again: (signedIn, answer, browser) =>
      check(`confirm ${signedIn.session.idHash}`, answer, browser, {
        session: signedIn,
        own: `session ${signedIn.session.idHash}`,
        action: 'admin.identity_confirmed',
      }),
  }
}

const purposeOf = (halfway: SignedIn | undefined): PasskeyPurpose =>
  halfway ? `code ${halfway.session.idHash}` : 'sign-in'

const COPIED = (name: string): string =>
  `the counter of the passkey “${name}” is behind, so there may be a copy of it; remove it`
