import type { Admin, Hash, NewEvent, Session, Store } from '../../db/store.ts'
import type { Log } from '../log.ts'
import { Secret } from '../secret.ts'
import type { Clock, Random } from '../runtime.ts'
import { newSecret, sha256 } from '../crypto/hash.ts'

/** A session expires after an hour without use, and after a day in any case (NIST SP 800-63B-4 2.2.3). */
const IDLE_TIMEOUT_MS = 3_600_000
const MAX_LIFETIME_MS = 86_400_000
/** Between the password and the second factor. */
const HALFWAY_LIFETIME_MS = 5 * 60_000
/** How long after signing in an admin may do what `isFresh` guards. */
const FRESH_PERIOD_MS = 10 * 60_000
/** How long a browser is remembered as one of an admin's. */
const DEVICE_LIFETIME_MS = 400 * 86_400_000
/** Precision of the last use: not every page view is written. */
const TOUCH_INTERVAL_MS = 60_000

/** The browser of a request. */
export interface Browser {
  address: string
  userAgent: string | undefined
  /** Its device secret from an earlier sign-in, if any. */
  device: Secret | undefined
  /** The address may be a proxy's, which many visitors share. */
  isAddressShared: boolean
}

/** The signed-in admin and their session. */
export interface SignedIn {
  session: Session
  admin: Admin
}

/** Has the admin proved who they are a short time ago, so that an unattended browser is unlikely? */
export const isFresh = (
  { createdAt, authenticatedAt }: Pick<Session, 'createdAt' | 'authenticatedAt'>,
  now: number,
): boolean => now - (authenticatedAt ?? createdAt) < FRESH_PERIOD_MS

/** The account at the identity provider that begins a session. */
export interface OidcOrigin {
  issuer: string
  subject: string
  sid: string | null
  /** When it asked the person, milliseconds; 0: it did not say. */
  authenticatedAt: number
}

/** The admins' sessions. Read from the store on each request, so an ended session is rejected at once in every process. */
export interface Sessions {
  /**
   * Begins a session.
   * @param admin the record that the credentials were checked against
   * @param options.halfway the second factor is still missing
   * @param options.replaces the session to replace: a halfway one, or one whose admin has proved who they are
   * @param options.action of the event; `null`: the caller has recorded it
   * @param options.details of the event
   * @param options.oidc the identity provider begins it
   * @returns the secrets for the cookies. `undefined`: meanwhile the admin was removed, or their password or
   *   second factor or passkeys changed, or the replaced session ended
   */
  begin(
    admin: Admin,
    browser: Browser,
    options?: {
      halfway?: boolean
      replaces?: Hash
      action?: string | null
      details?: string
      oidc?: OidcOrigin
    },
  ): Promise<{ session: Secret; device: Secret } | undefined>
  /** Finds the session of a cookie, complete or halfway, and extends its idle timeout. */
  find(secret: Secret): Promise<SignedIn | undefined>
  list(adminId: string): Promise<Session[]>
  /** Ends a session. `false`: the admin has no such session. */
  end(admin: Pick<Admin, 'id' | 'email'>, idHash: Hash, address: string): Promise<boolean>
  /** Ends all other sessions of the admin. Returns their number. */
  endOthers(signedIn: SignedIn, address: string): Promise<number>
}

export function createSessions(dependencies: {
  store: Store
  clock: Clock
  random: Random
  log: Log
  config: { adminOidc: { issuer: string } | null }
}): Sessions {
  const { store, clock, random, log, config } = dependencies
  const trustedIssuer = config.adminOidc?.issuer ?? null

  const event = (email: string, action: string, address: string, details?: string): NewEvent[] => [
    { at: clock.now(), actor: `admin:${email}`, action, address, details: details ?? null },
  ]

  /** Someone knows the password; who they are is not proved yet. */
  const halfwayEvent = (email: string, address: string): NewEvent => ({
    ...{ at: clock.now(), actor: 'system', address, details: email },
    action: 'admin.second_factor_pending',
  })

  /** Sessions whose last use is being written. */
  const touching = new Set<Hash>()

  /** Never waits for the write: pages are read also while the database is locked or its disk is full. */
  const touch = (session: Session): Session => {
    const now = clock.now()
    if (!session.complete || now - session.lastSeenAt < TOUCH_INTERVAL_MS) return session
    const touched = { ...session, lastSeenAt: now, expiresAt: expiryOf(session.createdAt, now) }
    if (!touching.has(session.idHash)) {
      touching.add(session.idHash)
      store
        .touchSession(touched)
        .catch((error: unknown) =>
          log.warn({ err: error }, 'the last use of a session was not stored'),
        )
        .finally(() => touching.delete(session.idHash))
    }
    return touched
  }

  return {
    async begin(admin, browser, { halfway = false, replaces, action, details, oidc } = {}) {
      const { id: adminId, email } = admin
      const now = clock.now()
      const secret = newSecret(random)
      const device = browser.device ?? new Secret(newSecret(random))
      const session: Session = {
        idHash: sha256(secret),
        adminId,
        createdAt: now,
        lastSeenAt: now,
        expiresAt: halfway ? now + HALFWAY_LIFETIME_MS : expiryOf(now, now),
        address: browser.address,
        userAgent: browser.userAgent?.slice(0, 400) ?? null,
        complete: !halfway,
        authenticatedAt: oidc?.authenticatedAt ?? null,
        oidcIssuer: oidc?.issuer ?? null,
        oidcSubject: oidc?.subject ?? null,
        oidcSid: oidc?.sid ?? null,
      }
      const known = { secretHash: sha256(device.reveal()), expiresAt: now + DEVICE_LIFETIME_MS }
      const begun = await store.addSession(session, {
        verified: admin,
        ...(replaces !== undefined && { replaces }),
        ...(!halfway && { device: known }),
        events: halfway
          ? [halfwayEvent(email, browser.address)]
          : action === null
            ? []
            : event(email, action ?? 'admin.signed_in', browser.address, details),
      })
      return begun ? { session: new Secret(secret), device } : undefined
    },

    async find(secret) {
      const key = { idHash: sha256(secret.reveal()), now: clock.now() }
      const found = await store.getSession(key)
      // An operator who changes the setting no longer trusts those whom the former provider signed in.
      const issuer = found?.session.oidcIssuer ?? null
      if (!found || (issuer !== null && issuer !== trustedIssuer)) return undefined
      return { ...found, session: touch(found.session) }
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

const expiryOf = (createdAt: number, now: number): number =>
  Math.min(createdAt + MAX_LIFETIME_MS, now + IDLE_TIMEOUT_MS)
