import type { Admin, Hash, NewEvent, Session, Store } from '../../db/store.ts'
import { Secret } from '../secret.ts'
import type { Clock, Random } from '../runtime.ts'
import { newSecret, sha256 } from '../crypto/hash.ts'

/** A session ends after an hour without use, and after a day in any case (NIST SP 800-63B-4 2.2.3). */
const [IDLE, LONGEST] = [3_600_000, 86_400_000]
/** Between the password and the second factor. */
const HALFWAY = 5 * 60_000
/** How long a browser is remembered as an admin's own. */
const DEVICE_LIFE = 400 * 86_400_000
/** Last use is told to this exactness: not every page is worth a write. */
const TOUCH_AFTER = 60_000

/** The browser that a request comes from, as far as it can be told. */
export interface Browser {
  address: string
  userAgent: string | undefined
  /** Its secret from an earlier sign-in, if it has one. */
  device: Secret | undefined
  /** Its address stands for everybody's: a proxy hides them. */
  isAddressShared: boolean
}

/** Who is signed in, as of this request. */
export interface SignedIn {
  session: Session
  admin: Admin
}

/** The admins' sessions. Asked of the store each time, so that an end holds at once in every process. */
export interface Sessions {
  /**
   * Begins a session, in the place of one that was halfway. `undefined`: the admin is gone, has another
   * password or second factor since, or that session is gone.
   * @param admin as signing in was checked against
   * @returns the cookies' secrets; `device` only where the session is complete
   */
  begin(
    admin: Admin,
    browser: Browser,
    options?: { halfway?: boolean; replaces?: Hash },
  ): Promise<{ session: Secret; device: Secret } | undefined>
  /** The session of that cookie, complete or halfway; puts off its idle end. */
  find(secret: Secret): Promise<SignedIn | undefined>
  list(adminId: string): Promise<Session[]>
  /** `false`: the admin has no such session. */
  end(admin: Pick<Admin, 'id' | 'email'>, idHash: Hash, address: string): Promise<boolean>
  /** Ends all but one. Answers how many. */
  endOthers(signedIn: SignedIn, address: string): Promise<number>
}

export function createSessions(needs: { store: Store; clock: Clock; random: Random }): Sessions {
  const { store, clock, random } = needs

  const event = (email: string, action: string, address: string): NewEvent[] => [
    { at: clock.now(), actor: `admin:${email}`, action, address },
  ]

  const touch = async (session: Session): Promise<Session> => {
    const now = clock.now()
    if (!session.complete || now - session.lastSeenAt < TOUCH_AFTER) return session
    const touched = { ...session, lastSeenAt: now, expiresAt: endOf(session.createdAt, now) }
    await store.touchSession(touched)
    return touched
  }

  return {
    async begin(admin, browser, { halfway = false, replaces } = {}) {
      const { id: adminId, email } = admin
      const now = clock.now()
      const secret = newSecret(random)
      const device = browser.device ?? new Secret(newSecret(random))
      const session: Session = {
        idHash: sha256(secret),
        adminId,
        createdAt: now,
        lastSeenAt: now,
        expiresAt: halfway ? now + HALFWAY : endOf(now, now),
        address: browser.address,
        userAgent: browser.userAgent?.slice(0, 400) ?? null,
        complete: !halfway,
      }
      const known = { secretHash: sha256(device.reveal()), expiresAt: now + DEVICE_LIFE }
      const begun = await store.addSession(session, {
        verified: admin,
        ...(replaces !== undefined && { replaces }),
        ...(!halfway && { device: known }),
        events: halfway ? [] : event(email, 'admin.signed_in', browser.address),
      })
      return begun ? { session: new Secret(secret), device } : undefined
    },

    async find(secret) {
      const key = { idHash: sha256(secret.reveal()), now: clock.now() }
      const found = await store.getSession(key)
      return found && { ...found, session: await touch(found.session) }
    },

    list: (adminId) => store.listSessions({ adminId, now: clock.now() }),

    async end({ id, email }, idHash, address) {
      const events = event(email, 'admin.session_ended', address)
      return (await store.endSessions({ adminId: id, only: idHash, events })) > 0
    },

    endOthers: ({ session, admin }, address) =>
      store.endSessions({
        adminId: admin.id,
        except: session.idHash,
        events: event(admin.email, 'admin.other_sessions_ended', address),
      }),
  }
}

const endOf = (createdAt: number, now: number): number => Math.min(createdAt + LONGEST, now + IDLE)
