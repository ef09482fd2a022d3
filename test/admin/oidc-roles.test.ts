import t from 'tap'
import { readClaim, roleOf } from '../../server/admin/oidc-roles.ts'

/** Published claims of identity providers. */
const KEYCLOAK = {
  realm_access: { roles: ['offline_access', 'broker-admins'] },
  resource_access: { 'my.broker': { roles: ['viewer'] }, account: { roles: ['manage-account'] } },
  groups: ['/staff', '/staff/maps'],
}
const POCKET_ID = { groups: ['admins', 'broker viewers'], email: 'ada@example.com' }

t.test('claims are arrays, single values and nested paths', async (t) => {
  t.strictSame(readClaim(KEYCLOAK, 'realm_access.roles'), ['offline_access', 'broker-admins'])
  t.strictSame(readClaim(KEYCLOAK, 'resource_access.my.broker.roles'), ['viewer'])
  t.strictSame(readClaim(KEYCLOAK, 'groups'), ['/staff', '/staff/maps'])
  t.strictSame(readClaim(POCKET_ID, 'groups'), ['admins', 'broker viewers'])
  t.strictSame(readClaim({ role: 'admin' }, 'role'), ['admin'])
  t.strictSame(readClaim({ admin: true, level: 3 }, 'admin'), ['true'])
  t.strictSame(readClaim({ level: 3 }, 'level'), ['3'])
  t.strictSame(readClaim({ 'https://x.example/roles': ['a'] }, 'https://x.example/roles'), ['a'])
  t.strictSame(readClaim({ 'a.b': 'literal', a: { b: 'nested' } }, 'a.b'), ['literal'])
  t.strictSame(readClaim({ groups: [] }, 'groups'), [])
  t.strictSame(readClaim({ groups: [{ name: 'admin' }, null] }, 'groups'), [])
  t.strictSame(readClaim({ groups: { admin: 1 } }, 'groups'), [])
  for (const path of ['none', 'realm_access.none', 'groups.0', 'email.length', '__proto__', 'a..b'])
    t.equal(readClaim({ ...KEYCLOAK, email: 'x' }, path), undefined, path)
})

t.test('a role needs an exact value', async (t) => {
  const mapping = { roleClaim: 'r', adminValues: ['ops', 'boss'], viewerValues: ['staff'] }
  const roles: [unknown, string | null][] = [
    [['staff', 'ops'], 'admin'],
    ['boss', 'admin'],
    [['staff'], 'viewer'],
    ['staff ops', null],
    ['staff,ops', null],
    [['Ops', 'ops '], null],
    [['ops2'], null],
    [[], null],
    [undefined, null],
    [null, null],
  ]
  for (const [r, role] of roles) t.equal(roleOf({ r }, mapping), role, JSON.stringify(r))
})
