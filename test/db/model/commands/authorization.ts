import type { Grant, Store } from '../../../../db/store.ts'
import { newDeviceCode, newGrant } from '../../rows.ts'
import { pick } from '../reference/grants.ts'
import { call, DAY, MINUTE, several } from './context.ts'
import type { Command, Context } from './context.ts'

const hash = (at: Context, prefix: string): string => `${prefix}${at.below(6)}`
const expiresAt = (at: Context): number => at.now + at.choose(0, 1, MINUTE, DAY)

const grantFields = (at: Context): Partial<Grant> => ({
  jti: at.fresh('jti'),
  issuedAtSeconds: Math.floor(at.now / 1000),
  expiresAtSeconds: Math.floor(at.now / 1000) + at.choose(60, 86_400, 30 * 86_400),
  browserHash: at.choose(null, 'browser 1', 'browser 2'),
  externalId: at.choose(null, 'ext 1', 'ext 2'),
  createdAt: at.now,
})

/** A grant that is mostly there, and its current token mostly. */
const currentToken = (at: Context) => {
  const grantId = at.grantId()
  const jti = at.tables.grants.get(grantId)?.jti ?? 'none'
  return { grantId, expectedJti: at.chance(20) ? 'superseded' : jti }
}

type Page = Awaited<ReturnType<Store['listGrantsWithoutAccount']>>

export const authorizationCommands: Record<string, Command> = {
  useState: (at) => call('useState', { stateHash: hash(at, 's'), expiresAt: expiresAt(at) }),
  useProof: (at) => call('useProof', { proofHash: hash(at, 'p'), expiresAt: expiresAt(at) }),

  addDeviceCode: (at) => {
    const network = at.choose('192.0.2.1', '192.0.2.2', '')
    const code = newDeviceCode(at.fresh('d'), {
      userCodeHash: hash(at, 'u'),
      appId: at.appId(),
      ...{ network, address: network, createdAt: at.now },
      expiresAt: at.now + at.choose(MINUTE, 15 * MINUTE),
    })
    return call('addDeviceCode', code, { maxOfNetwork: at.choose(null, 2), max: 4 })
  },

  updateDeviceCode: (at) => {
    const code = at.one(at.tables.deviceCodes.values())
    if (!code) return null
    const before = at.asRead(code, { polledAt: 1 })
    const connectionId = at.connectionId()
    const after = at.choose(
      { ...code, polledAt: at.now, intervalSeconds: 10 },
      { ...code, status: 'denied' as const },
      { ...code, status: 'approved' as const, connectionId },
    )
    // A person answers once, and approves for a connection that exists.
    if (after.status !== code.status && code.status !== 'pending') return null
    if (!at.tables.connections.has(connectionId)) return null
    return call('updateDeviceCode', before, after, at.events('device.answered', { connectionId }))
  },

  removeDeviceCodes: (at) => call('removeDeviceCodes', at.some(at.tables.deviceCodes.keys())),

  addGrant: (at) => {
    const unused = [...at.tables.codes.values()].filter(
      ({ usedAt }) => usedAt === null || at.chance(10),
    )
    const code = at.chance(70) ? at.one(unused) : undefined
    const id = at.chance(90) ? at.fresh('g') : `g${at.below(9)}`
    const [appId, connectionId] = code
      ? [code.appId, code.connectionId]
      : [at.appId(), at.connectionId()]
    const grant = newGrant(id, { ...grantFields(at), appId, connectionId })
    const source = code
      ? { codeHash: code.codeHash }
      : at.chance(20)
        ? { codeHash: 'unknown' }
        : null
    const events = at.events('grant.begun', { grantId: id, appId, connectionId })
    return call('addGrant', grant, { source, now: at.now, events })
  },

  addGrantOfDevice: (at) => {
    const approved = [...at.tables.deviceCodes.values()].filter(
      ({ status, usedAt }) => (status === 'approved' && usedAt === null) || at.chance(10),
    )
    const { deviceCodeHash = '', appId = '', connectionId } = at.one(approved) ?? {}
    const grant = newGrant(at.fresh('g'), {
      ...grantFields(at),
      ...{ appId, connectionId: connectionId ?? at.connectionId() },
    })
    const events = at.events('grant.begun', { grantId: grant.id })
    return call('addGrant', grant, { source: { deviceCodeHash }, now: at.now, events })
  },

  setExternalId: (at) => {
    const grantId = at.grantId()
    const appId = at.chance(80) ? (at.tables.grants.get(grantId)?.appId ?? 'none') : at.appId()
    const externalId = at.choose(null, 'ext 1', 'ext 2', 'ext 3')
    const events = at.events('grant.external_id_set', { grantId })
    return call('setExternalId', { grantId, appId, externalId, events })
  },

  revokeGrants: (at) => {
    const grant = at.tables.grants.get(at.grantId())
    const { id, appId, connectionId } = grant ?? { id: 'none', appId: 'none', connectionId: 'c0' }
    const events = at.events('grant.revoked', { grantId: id })
    const which = at.choose({ id }, { id, device: true }, { appId, connectionId })
    return call('revokeGrants', { ...which, now: at.now, events })
  },

  getSwapState: (at) =>
    call('getSwapState', {
      grantId: at.grantId(),
      kid: at.one(at.tables.signingKeys.keys()) ?? '',
    }),

  useJti: (at) => {
    const token = currentToken(at)
    const jti = at.chance(70) ? token.expectedJti : at.fresh('jti')
    return call('useJti', { ...token, jti, now: at.now })
  },

  renewGrant: (at) => {
    const token = currentToken(at)
    const seconds = Math.floor(at.now / 1000)
    return call('renewGrant', {
      ...token,
      previousJti: token.expectedJti,
      jti: at.fresh('jti'),
      successorsSinceSeconds: at.choose(null, seconds - 5),
      issuedAtSeconds: seconds,
      expiresAtSeconds: seconds + at.choose(60, 86_400),
    })
  },

  listGrantsOfApp: (at) =>
    call('listGrantsOfApp', {
      appId: at.appId(),
      externalId: at.choose(null, 'ext 1'),
      after: at.choose(null, at.grantId()),
      limit: at.choose(1, 2, 100),
    }),

  listGrantsWithoutAccount: (at) => {
    const limit = at.choose(1, 3, 100)
    return several(`listGrantsWithoutAccount, ${limit} at a time`, async (store) => {
      const found = []
      for (let after: string | null = null; ;) {
        const page: Page = await store.listGrantsWithoutAccount({
          ...{ after, limit },
        })
        found.push(...page.rows.map((row) => pick(row, 'appId', 'connectionId', 'browserHash')))
        if (page.next === null) return found
        after = page.next
      }
    })
  },

  addLink: (at) => {
    const id = at.fresh('link')
    const link = {
      ...{ id, secretHash: `secret of ${id}`, grantId: at.grantId(), path: '/path' },
      ...{ isPrefix: at.chance(50), label: 'Label', createdAt: at.now },
      ...{ expiresAt: at.now + at.choose(MINUTE, DAY, 30 * DAY), lastUsedAt: null, uses: 0 },
    }
    return call('addLink', link, { max: 3, events: at.events('link.added') })
  },

  deleteLink: (at) =>
    call('deleteLink', at.one(at.tables.links.keys()) ?? 'none', at.events('link.deleted')),
}
