import type { Admin, SecondFactor, Session } from '../../../../db/store.ts'
import { newPasskey } from '../../rows.ts'
import { adminOf } from '../reference/admins.ts'
import { pick } from '../reference/grants.ts'
import { call, HOUR, MINUTE } from './context.ts'
import type { Command, Context } from './context.ts'

const ISSUER = 'https://id.example'

const noAccount = { oidcIssuer: null, oidcSubject: null, oidcLabel: null }
const account = (at: Context) =>
  at.choose<Pick<Admin, keyof typeof noAccount>>(noAccount, {
    oidcIssuer: at.choose(ISSUER, 'https://other.example'),
    oidcSubject: at.choose('1', '2'),
    oidcLabel: at.choose('Ann', null),
  })

/** An admin as they are. */
const admin = (at: Context): Admin | undefined =>
  adminOf(at.tables, at.one(at.tables.admins.keys()) ?? '')

const link = (at: Context) => ({ secretHash: at.one(at.tables.setupLinks.keys()) ?? 'none' })
const idHash = (at: Context): string => at.one(at.tables.sessions.keys()) ?? 'none'
const adminId = (at: Context): string => at.one(at.tables.admins.keys()) ?? 'nobody'

export const adminCommands: Record<string, Command> = {
  addAdmin: (at) => {
    const role = at.choose<Admin['role']>('admin', 'viewer')
    const admin = {
      ...{ id: at.fresh('admin'), email: `${at.choose('ann', 'bob', 'eve')}@x.example`, role },
      ...{ passwordHash: at.choose('', 'hash 1', 'hash 2'), createdAt: at.now, ...account(at) },
    }
    const setupLink = role === 'admin' && at.chance(40) ? { ...link(at), now: at.now } : undefined
    const events = at.events('admin.added')
    return call('addAdmin', admin, { ...(setupLink && { setupLink }), events })
  },

  updateAdmin: (at) => {
    const one = admin(at)
    if (!one) return null
    const before = at.asRead(one, at.choose({ passwordHash: 'other' }, { passkeyIds: ['gone'] }))
    const after = at.chance(25)
      ? null
      : {
          ...one,
          ...at.choose<Partial<Admin>>(
            { passwordHash: at.choose('', 'hash 3', at.fresh('hash')) },
            { role: at.choose('admin', 'viewer') },
            account(at),
          ),
        }
    const issuer = at.choose(null, ISSUER)
    return call('updateAdmin', before, after, {
      ...(at.chance(30) && { keepSession: idHash(at) }),
      ...(at.chance(60) && { mustRemain: { password: at.chance(70), issuer } }),
      events: at.events('admin.changed'),
    })
  },

  updateSecondFactor: (at) => {
    const id = adminId(at)
    const stored = at.tables.secondFactors.get(id) ?? null
    const before = stored && at.asRead(stored, { lastStep: 999 })
    const secret = stored && at.chance(60) ? stored.secret : at.sealed('factor')
    const factor: SecondFactor = {
      ...{ secret, since: at.choose(null, at.now), lastStep: at.choose(null, 1, 2) },
      recoveryCodes: at.some(['code 1', 'code 2']),
    }
    return call(
      'updateSecondFactor',
      id,
      before,
      at.chance(30) ? null : factor,
      at.events('factor'),
    )
  },

  addSetupLink: (at) =>
    call('addSetupLink', {
      secretHash: at.fresh('link'),
      expiresAt: at.now + at.choose(MINUTE, HOUR),
    }),

  hasSetupLink: (at) => call('hasSetupLink', { ...link(at), now: at.now }),

  updatePasskey: (at) => {
    const stored = at.one(at.tables.passkeys.values())
    const events = at.events('passkey.changed')
    if (!stored || at.chance(40)) {
      const fresh = newPasskey(`key ${at.below(4)}`, { adminId: adminId(at), createdAt: at.now })
      return call('updatePasskey', null, fresh, events)
    }
    const before = at.asRead(stored, { counter: 99 })
    const used = { ...stored, counter: stored.counter + 1, lastUsedAt: at.now }
    return call('updatePasskey', before, at.chance(30) ? null : used, events)
  },

  addSession: (at) => {
    const one = admin(at)
    if (!one) return null
    const verified = at.asRead(
      pick(
        one,
        ...(['passwordHash', 'secondFactorSince', 'passkeyIds', 'oidcIssuer'] as const),
        'oidcSubject',
      ),
      at.choose({ passwordHash: 'old' }, { secondFactorSince: 1 }, { passkeyIds: ['gone'] }),
    )
    const { oidcIssuer, oidcSubject } = one
    const oidc =
      oidcIssuer !== null && at.chance(60)
        ? { oidcIssuer, oidcSubject, oidcSid: at.choose(null, 's1', 's2') }
        : { oidcIssuer: null, oidcSubject: null, oidcSid: null }
    const half = [...at.tables.sessions.values()].filter(
      (session) => session.adminId === one.id && !session.complete,
    )
    const replaces = at.chance(30) ? (at.one(half)?.idHash ?? 'ended') : undefined
    const session: Session = {
      ...{ idHash: at.fresh('session'), adminId: one.id, createdAt: at.now, lastSeenAt: at.now },
      ...{ expiresAt: at.now + at.choose(MINUTE, HOUR), address: at.address(), userAgent: null },
      ...{ complete: at.chance(70), authenticatedAt: at.choose(null, at.now), ...oidc },
    }
    const device = { secretHash: `device ${at.below(3)}`, expiresAt: at.now + HOUR }
    return call('addSession', session, {
      verified,
      ...(replaces !== undefined && { replaces }),
      ...(at.chance(40) && { device }),
      events: at.events('admin.signed_in'),
    })
  },

  touchSession: (at) =>
    call('touchSession', {
      ...{ idHash: idHash(at), lastSeenAt: at.now },
      expiresAt: at.now + at.choose(MINUTE, HOUR),
    }),

  endSessions: (at) =>
    call('endSessions', {
      ...{ adminId: adminId(at), events: at.events('admin.signed_out') },
      ...at.choose({ only: idHash(at) }, { except: idHash(at) }),
    }),

  endOidcSessions: (at) => {
    const [subject, sid] = [at.choose('1', '2'), at.choose('s1', 's2')]
    const which = at.choose({ subject, sid: null }, { subject, sid }, { subject: null, sid })
    const event = { at: at.now, actor: 'system', action: 'admin.signed_out_by_oidc' }
    return call('endOidcSessions', { issuer: ISSUER, ...which }, event)
  },

  takeAttempt: (at) => {
    const keys = at.some(['key 0', 'key 1', 'key 2'])
    const budgets = keys.map((key) => ({
      ...{ key, most: at.choose(1, 2, 3) },
      until: at.now + at.choose(MINUTE, HOUR),
    }))
    return call('takeAttempt', { budgets, now: at.now })
  },

  returnAttempt: (at) =>
    call('returnAttempt', at.some(['key 0', 'key 1']), at.choose([], ['key 2'])),
}
