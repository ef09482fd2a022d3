import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import * as fs from 'node:fs'
import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  fstatSync,
  lstatSync,
  readFileSync,
  readSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import * as nativeAddon from '../../server/data/native-addon.ts'
import { StartError } from '../../server/data/start-error.ts'
import { temporaryFolder } from '../temporary.ts'

const bytes = Buffer.alloc(1_000_000, 'native code')
const hash = createHash('sha256').update(bytes).digest('hex').slice(0, 16)
const require = createRequire(import.meta.url)
const NOBODY = 65_534
const asRoot = { skip: process.geteuid?.() !== 0 && 'only root can make files of another user' }

/** Extracts an addon. Returns the content of the open file, and its path. */
function extract(folder: string, extractAddon = nativeAddon.extractAddon) {
  const { file, descriptor } = extractAddon(bytes, folder, 'addon')
  try {
    const { ino, size } = fstatSync(descriptor)
    const content = Buffer.alloc(size)
    readSync(descriptor, content, 0, size, 0)
    return { file, content, ino }
  } finally {
    closeSync(descriptor)
  }
}

t.test('the file has the bytes, a name with their hash, and a private folder', async (t) => {
  const folder = join(temporaryFolder(t), 'data', 'native')
  const { file, content } = extract(folder)
  t.equal(file, join(folder, `addon-${hash}.node`))
  t.ok(content.equals(bytes))
  t.equal(statSync(folder).mode & 0o777, 0o700)
  t.equal(statSync(file).mode & 0o777, 0o600)
  t.strictSame(readdirSync(folder), [`addon-${hash}.node`], 'no temporary file is left')
})

t.test('an intact file is used as it is', async (t) => {
  const folder = temporaryFolder(t)
  t.equal(extract(folder).ino, extract(folder).ino)
})

t.test('a changed file, a link and a file that others can write are replaced', async (t) => {
  const folder = temporaryFolder(t)
  const file = join(folder, `addon-${hash}.node`)
  const target = join(temporaryFolder(t), 'target')
  const faults = {
    changed: () => writeFileSync(file, 'something else'),
    linked: () => {
      writeFileSync(target, bytes)
      symlinkSync(target, file)
    },
    writable: () => {
      writeFileSync(file, bytes)
      chmodSync(file, 0o622)
    },
  }
  for (const [name, make] of Object.entries(faults)) {
    rmSync(file, { force: true })
    make()
    t.ok(extract(folder).content.equals(bytes), name)
    t.equal(lstatSync(file).mode & 0o177777, 0o100600, name)
  }
  t.ok(readFileSync(target).equals(bytes), 'the link’s target is left as it was')
})

t.test('a folder that others can change is refused, and left as it is', async (t) => {
  const folder = temporaryFolder(t)
  const real = temporaryFolder(t)
  chmodSync(real, 0o755)
  symlinkSync(real, join(folder, 'link'))
  t.throws(() => extract(join(folder, 'link')), {
    name: 'StartError',
    message: /is not a directory, or is a link.*BROKER_NATIVE_DIR/s,
  })
  t.equal(statSync(real).mode & 0o777, 0o755, 'a foreign folder keeps its mode')
  for (const mode of [0o777, 0o770, 0o1777]) {
    chmodSync(real, mode)
    t.throws(() => extract(real), {
      name: 'StartError',
      message: /can be changed by other users.*chmod go-w.*BROKER_NATIVE_DIR/s,
    })
    t.equal(statSync(real).mode & 0o7777, mode)
  }
  t.strictSame(readdirSync(real), [])
})

t.test('root writes no code into a folder of another user', asRoot, async (t) => {
  const folder = temporaryFolder(t)
  chownSync(folder, NOBODY, NOBODY)
  t.throws(() => extract(folder), { name: 'StartError', message: /belongs to another user/ })
  t.strictSame(readdirSync(folder), [])
})

t.test('a folder that can’t be written to is reported', async (t) => {
  const folder = join(t.testdir({ data: 'a file' }), 'data')
  t.throws(() => extract(folder), StartError)
  t.throws(() => extract(folder), { cause: { code: /EEXIST|ENOTDIR/ } })
})

t.test('a file that another program changes is not used', async (t) => {
  const folder = temporaryFolder(t)
  const { extractAddon } = await t.mockImport<typeof nativeAddon>(
    '../../server/data/native-addon.ts',
    {
      '../../db/data-directory/files.ts': t.createMock(
        await import('../../db/data-directory/files.ts'),
        {
          createFile: (draft: string) => writeFileSync(draft, 'something else'),
        },
      ),
    },
  )
  t.throws(() => extract(folder, extractAddon), { cause: { message: /changed it/ } })
})

t.test('simultaneous starts all get a complete file', async (t) => {
  const folder = join(temporaryFolder(t), 'native')
  const script = `
    const { extractAddon } = await import(${JSON.stringify(import.meta.resolve('../../server/data/native-addon.ts'))})
    const { fstatSync, readSync } = await import('node:fs')
    for (let i = 0; i < 5; i++) {
      const bytes = Buffer.alloc(1_000_000, 'version ' + i)
      const { descriptor } = extractAddon(bytes, process.argv[1], 'addon')
      const content = Buffer.alloc(fstatSync(descriptor).size)
      readSync(descriptor, content, 0, content.length, 0)
      if (!content.equals(bytes)) process.exit(1)
    }`
  const start = () =>
    promisify(execFile)(process.execPath, ['--input-type=module', '-e', script, folder])
  await Promise.all([start(), start(), start()])
  t.equal(readdirSync(folder).length, 5)
})

t.test('the verified file is loaded, even if another one gets its name', async (t) => {
  const folder = temporaryFolder(t)
  const finder = require(
    join(dirname(require.resolve('better-sqlite3/package.json')), 'lib/binding.js'),
  ) as { getPrebuildPath(): string }
  const code = readFileSync(finder.getPrebuildPath())
  const { loadAddon } = await t.mockImport<typeof nativeAddon>(
    '../../server/data/native-addon.ts',
    {
      'node:fs': t.createMock(fs, {
        existsSync: (path: string) => {
          // Just before the file is loaded.
          for (const name of readdirSync(folder))
            writeFileSync(join(folder, `${name}.swap`), 'evil')
          for (const name of readdirSync(folder)) {
            if (name.endsWith('.swap'))
              renameSync(join(folder, name), join(folder, name.slice(0, -5)))
          }
          return existsSync(path)
        },
      }),
    },
  )
  const addon = loadAddon(code, folder, 'better_sqlite3')
  t.match(readFileSync(join(folder, readdirSync(folder)[0] ?? ''), 'utf8'), 'evil')
  t.type((addon as { Database: unknown }).Database, 'function')
  t.equal(loadAddon(code, folder, 'better_sqlite3'), addon, 'it is loaded once')
})

t.test('a file that can’t be loaded is reported, with a fix', async (t) => {
  const folder = temporaryFolder(t)
  t.throws(() => nativeAddon.loadAddon(bytes, folder, 'addon'), {
    name: 'StartError',
    message: /noexec.*BROKER_NATIVE_DIR/,
  })
})
