import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmodSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import * as nativeAddon from '../../server/data/native-addon.ts'
import { StartError } from '../../server/data/start-error.ts'
import { temporaryFolder } from '../temporary.ts'

const { checkAddonLoads, extractAddon } = nativeAddon

const bytes = Buffer.alloc(1_000_000, 'native code')
const hash = createHash('sha256').update(bytes).digest('hex').slice(0, 16)

t.test('the file has the bytes, a name with their hash, and a private folder', async (t) => {
  const folder = join(temporaryFolder(t), 'data', 'native')
  const file = extractAddon(bytes, folder, 'addon')
  t.equal(file, join(folder, `addon-${hash}.node`))
  t.ok(readFileSync(file).equals(bytes))
  t.equal(statSync(folder).mode & 0o777, 0o700)
  t.equal(statSync(file).mode & 0o777, 0o600)
  t.strictSame(readdirSync(folder), [`addon-${hash}.node`], 'no temporary file is left')
})

t.test('an intact file is used as it is', async (t) => {
  const folder = temporaryFolder(t)
  const first = statSync(extractAddon(bytes, folder, 'addon'))
  t.equal(statSync(extractAddon(bytes, folder, 'addon')).ino, first.ino)
})

t.test('a changed file is replaced, and folder permissions are tightened', async (t) => {
  const folder = t.testdir({ [`addon-${hash}.node`]: 'something else' })
  chmodSync(folder, 0o777)
  t.ok(readFileSync(extractAddon(bytes, folder, 'addon')).equals(bytes))
  t.equal(statSync(folder).mode & 0o777, 0o700)
})

t.test('a folder that can’t be written to is reported', async (t) => {
  const folder = join(t.testdir({ data: 'a file' }), 'data')
  t.throws(() => extractAddon(bytes, folder, 'addon'), StartError)
  t.throws(() => extractAddon(bytes, folder, 'addon'), { cause: { code: /EEXIST|ENOTDIR/ } })
})

t.test('a file that another program changes is not used', async (t) => {
  const folder = temporaryFolder(t)
  const { extractAddon } = await t.mockImport<typeof nativeAddon>('../../server/data/native-addon.ts', {
    '../../db/data-directory/files.ts': t.createMock(await import('../../db/data-directory/files.ts'), {
      createFile: (draft: string) => writeFileSync(draft, 'something else'),
    }),
  })
  t.throws(() => extractAddon(bytes, folder, 'addon'), { cause: { message: /changed it/ } })
})

t.test('simultaneous starts all get a complete file', async (t) => {
  const folder = join(temporaryFolder(t), 'native')
  const script = `
    const { extractAddon } = await import(${JSON.stringify(import.meta.resolve('../../server/data/native-addon.ts'))})
    const { readFileSync } = await import('node:fs')
    for (let i = 0; i < 5; i++) {
      const bytes = Buffer.alloc(1_000_000, 'version ' + i)
      if (!readFileSync(extractAddon(bytes, process.argv[1], 'addon')).equals(bytes)) process.exit(1)
    }`
  const start = () =>
    promisify(execFile)(process.execPath, ['--input-type=module', '-e', script, folder])
  await Promise.all([start(), start(), start()])
  t.equal(readdirSync(folder).length, 5)
})

t.test('a file that can’t be loaded is reported, with a fix', async (t) => {
  const file = extractAddon(bytes, temporaryFolder(t), 'addon')
  t.throws(() => checkAddonLoads(file), { name: 'StartError', message: /noexec.*BROKER_NATIVE_DIR/ })
})
