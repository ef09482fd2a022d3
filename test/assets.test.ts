import { createHash } from 'node:crypto'
import { readFileSync, readdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { readMigrationFiles } from 'drizzle-orm/migrator'
import t, { type Test } from 'tap'
import * as source from '../server/assets.ts'
import { temporaryFolder } from './temporary.ts'

const require = createRequire(import.meta.url)
const finder = require(
  join(require.resolve('better-sqlite3/package.json'), '../lib/binding.js'),
) as { getPrebuildPath(): string }
const addon = readFileSync(finder.getPrebuildPath())
const root = join(import.meta.dirname, '..')
const migrations = 'db/migrations/sqlite'
const files: Record<string, string | Buffer> = {
  'views/ask.eta': '<p>é</p>',
  'views/admin/home.eta': '<p>',
  'viewsless/no.eta': '',
  'server/demo/public/app.js': 'hello()',
  'leaflet/dist/leaflet.css': '#map',
  [`${migrations}/0000_a.sql`]:
    'create table a (b);\n--> statement-breakpoint\ncreate index c on a (b);',
  [`${migrations}/0001_b.sql`]: 'drop table a',
  [`${migrations}/meta/_journal.json`]: JSON.stringify({
    entries: [
      { idx: 0, when: 1000, tag: '0000_a', breakpoints: true },
      { idx: 1, when: 2000, tag: '0001_b', breakpoints: false },
    ],
  }),
  'better_sqlite3.node': addon,
  'LICENSES.txt': 'the licenses',
}

/** The module as in a binary with these files. */
const inBinary = (t: Pick<Test, 'mockImport'>) =>
  t.mockImport<typeof source>('../server/assets.ts', {
    'node:sea': {
      isSea: () => true,
      getAssetKeys: () => Object.keys(files),
      getAsset: (key: string) => {
        const file = files[key]
        if (file === undefined) throw new Error(`no asset ${key}`)
        return new Uint8Array(Buffer.from(file)).buffer
      },
    },
  })

t.test('binary: text, bytes and lists', async (t) => {
  const assets = await inBinary(t)
  t.equal(assets.readAsset('views/ask.eta'), '<p>é</p>')
  t.strictSame(assets.readAssetBytes('views/ask.eta'), Buffer.from('<p>é</p>'))
  t.strictSame(assets.listAssets('views'), ['views/admin/home.eta', 'views/ask.eta'])
  t.strictSame(assets.listAssets('nowhere'), [])
  t.throws(() => assets.readAsset('views/missing.eta'), { message: /no asset/ })
  t.match(assets.build, { binary: true, command: process.execPath })
  t.equal(assets.readLicenses(), 'the licenses')
  t.equal(String(assets.readPackageFile('leaflet/dist/leaflet.css')), '#map')
})

t.test('binary: the addon is written to a folder of the data directory', async (t) => {
  const assets = await inBinary(t)
  const data = temporaryFolder(t)
  t.match(assets.sqliteBinding({ dataDir: data }), { Database: Function })
  const nativeDir = join(data, 'elsewhere')
  t.match(assets.sqliteBinding({ dataDir: data, nativeDir }), { Database: Function })
  for (const folder of [join(data, 'native'), nativeDir]) {
    const [name = ''] = readdirSync(folder)
    t.match(name, /^better_sqlite3-[0-9a-f]{16}\.node$/)
    t.ok(readFileSync(join(folder, name)).equals(addon))
  }
})

t.test('binary: migrations are the same as Drizzle reads them', async (t) => {
  const assets = await inBinary(t)
  const folder = t.testdir({
    '0000_a.sql': String(files[`${migrations}/0000_a.sql`]),
    '0001_b.sql': String(files[`${migrations}/0001_b.sql`]),
    meta: { '_journal.json': String(files[`${migrations}/meta/_journal.json`]) },
  })
  const read = assets.readMigrations()
  const drizzles = read.map(({ name, ...migration }) => migration)
  t.strictSame(drizzles, readMigrationFiles({ migrationsFolder: folder }))
  t.strictSame(
    read.map(({ name }) => name),
    ['0000_a', '0001_b'],
  )
  t.equal(read[0]?.sql.length, 2)
  t.equal(read[1]?.hash, createHash('sha256').update('drop table a').digest('hex'))
})

t.test('bundle: build stamp, and the addon beside it', async (t) => {
  const stamp = { version: '9.9.9', commit: 'abc' }
  Object.assign(globalThis, { BUILD_STAMP: stamp })
  t.teardown(() => Reflect.deleteProperty(globalThis, 'BUILD_STAMP'))
  const assets = await t.mockImport<typeof source>('../server/assets.ts', {})
  t.match(assets.build, { ...stamp, binary: false })
  t.throws(() => assets.readLicenses(), { code: 'ENOENT', path: /LICENSES\.txt$/ }, 'beside it')
  t.equal(assets.sqliteBinding({ dataDir: 'data' }), join(root, 'server', 'better_sqlite3.node'))
})

t.test('from source', async (t) => {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  t.match(source.build, { version, commit: null, binary: false, command: /^npm run/ })
  t.equal(
    source.sqliteBinding({ dataDir: 'data' }),
    undefined,
    'better-sqlite3 finds its own addon',
  )
  for (const path of ['package.json', 'views/../package.json', '/etc/hostname', 'views']) {
    t.throws(() => source.readAsset(path), { message: /is not in/ }, path)
  }
  t.throws(() => source.readAsset('views/missing.eta'), { code: 'ENOENT' })
})

t.test('from source: files of packages', async (t) => {
  for (const path of source.packageFiles) t.ok(source.readPackageFile(path).length > 10_000, path)
})

t.test('from source: files of the asset folders', async (t) => {
  const paths = source.assetFolders.flatMap(source.listAssets)
  t.ok(paths.includes(`${migrations}/meta/_journal.json`))
  for (const path of paths) {
    t.ok(source.readAssetBytes(path).equals(readFileSync(join(root, path))), path)
  }
  t.strictSame(
    source.readMigrations().map(({ name, ...migration }) => migration),
    readMigrationFiles({ migrationsFolder: join(root, migrations) }),
  )
})
