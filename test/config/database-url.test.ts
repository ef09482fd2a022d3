import { inspect } from 'node:util'
import t from 'tap'
import { loadConfig } from '../../server/config/config.ts'

const load = (url: string) => loadConfig({ BROKER_DATABASE_URL: url }).database

t.test('one server or several', async (t) => {
  t.equal(loadConfig({}).database, null)
  const one = load('postgresql://ann:h%40sh@db.example.com/broker?sslmode=require')
  t.equal(one?.address, 'db.example.com/broker')
  t.equal(one?.isLocal, false)
  t.strictSame(
    one?.urls.map((url) => url.reveal()),
    ['postgres://ann:h%40sh@db.example.com/broker?sslmode=require&uselibpqcompat=true'],
  )
  const several = load('postgres://ann@a.example,b.example:6432/broker?target_session_attrs=any')
  t.equal(several?.address, 'a.example,b.example:6432/broker')
  t.strictSame(
    several?.urls.map((url) => url.reveal()),
    ['postgres://ann@a.example/broker?', 'postgres://ann@b.example:6432/broker?'],
  )
  t.match(load('postgres:///broker?host=/run/postgresql'), {
    address: '/run/postgresql/broker',
    isLocal: true,
  })
  t.equal(load('postgres://[::1]:5432,localhost/broker')?.isLocal, true)
})

t.test('what can’t be used is refused, and the password is not repeated', async (t) => {
  for (const [url, problem] of [
    ['mysql://ann:hush@db/broker', /not of the form/],
    ['postgres://ann:hush@db', /not of the form/],
    ['postgres://ann:hush@d b/broker', /can’t be read/],
    ['postgres://ann:hush@/broker', /one or more hosts/],
    ['postgres://ann:hush@db/broker?host=/run', /one or more hosts/],
    ['postgres://ann:hush@/broker?host=other', /directory of a socket/],
    ['postgres://ann:hush@db/broker?sslmode=prefer', /sslmode that is not one of disable,/],
    ['postgres://ann:hush@db/broker?sslmode=verify-ca', /without sslrootcert/],
    ['postgres://ann:hush@db/broker?target_session_attrs=standby', /target_session_attrs/],
  ] as const) {
    const error = t.throws(() => load(url), { message: problem }, url)
    t.notMatch(inspect(error), 'hush')
  }
  t.notMatch(inspect(load('postgres://ann:hush@db/broker'), { depth: 9 }), 'hush')
})
