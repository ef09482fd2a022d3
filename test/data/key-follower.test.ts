import { randomBytes } from 'node:crypto'
import { readFileSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Presence } from '../../db/coordination.ts'
import type { Store } from '../../db/store.ts'
import { createVault } from '../../server/crypto/vault.ts'
import { createKeyFollower } from '../../server/data/key-follower.ts'
import {
  loadSecretKeys,
  newKey,
  readKeys,
  secretKeyFile,
  writeKeys,
} from '../../server/data/secret-key.ts'
import type { Log } from '../../server/log.ts'
import { openTemporary } from '../db/temporary.ts'

t.test('unchanged keys cost one look at the file, and a change is followed', async (t) => {
  const { store, directory } = await openTemporary(t)
  const config = { secrets: null, database: null, dataDir: directory }
  const load = await loadSecretKeys(config, store, randomBytes)
  let loads = 0
  const vault = createVault(() => (loads++, load()), randomBytes)
  const file = secretKeyFile(directory)
  let reads = 0
  const announced: string[][] = []
  const logged: string[] = []
  const counted: Store = { ...store, getMeta: () => (reads++, store.getMeta()) }
  const follow = createKeyFollower({
    store: counted,
    vault,
    presence: { setKeyIds: (ids: string[]) => announced.push(ids) } as unknown as Presence,
    log: { error: (_: object, line: string) => logged.push(line) } as unknown as Log,
  })
  const know = () => store.setMeta({ secret_fingerprints: vault.keyIds().join() })
  await know()
  for (let second = 0; second < 5; second++) await follow()
  t.equal(reads, 0, 'the store is not read')
  t.equal(load(), load(), 'the file is not read again')

  const [own] = readKeys(file)
  if (!own) throw new Error('no key')
  utimesSync(file, new Date(), new Date(Date.now() + 5000))
  await follow()
  t.equal(reads, 0, 'the same keys in a touched file')

  const more = newKey(randomBytes)
  writeKeys(file, [own, more])
  await follow()
  t.equal(vault.keyIds().length, 2)
  t.strictSame(announced, [vault.keyIds()])
  t.equal(reads, 1)
  await follow()
  t.equal(reads, 1)

  // Without the key that stored values need: refused until it is back.
  const good = readFileSync(file)
  writeKeys(file, [more])
  for (let second = 0; second < 3; second++) await follow()
  t.equal(vault.keyIds().length, 2)
  t.equal(logged.length, 1)
  t.equal(reads, 4, 'a refused file is checked again each time')
  writeFileSync(file, good)
  await follow()
  await follow()
  t.equal(vault.keyIds().length, 2)
  t.ok(loads > 10)
  t.equal(join(directory, 'secret.key'), file)
})

t.test('a key that could not be announced is announced later', async (t) => {
  const { store, directory } = await openTemporary(t)
  const load = await loadSecretKeys(
    { secrets: null, database: null, dataDir: directory },
    store,
    randomBytes,
  )
  const vault = createVault(load, randomBytes)
  await store.setMeta({ secret_fingerprints: vault.keyIds().join() })
  const announced: string[][] = []
  let isFull = true
  const follow = createKeyFollower({
    store: {
      ...store,
      checkWritable: () => (isFull ? Promise.reject(new Error('full')) : store.checkWritable()),
    },
    vault,
    presence: { setKeyIds: (ids: string[]) => announced.push(ids) } as unknown as Presence,
    log: { error: () => undefined } as unknown as Log,
  })
  const file = secretKeyFile(directory)
  writeKeys(file, [...readKeys(file), newKey(randomBytes)])
  await t.rejects(follow(), /full/)
  t.strictSame(announced, [])
  isFull = false
  await follow()
  t.strictSame(announced, [vault.keyIds()])
})
