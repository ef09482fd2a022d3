import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { generateDocuments } from '../scripts/documents.ts'
import { program } from '../server/cli/program.ts'

const root = join(import.meta.dirname, '..')
const read = (path: string) => readFileSync(join(root, path), 'utf8')
const pages = [
  'README.md',
  'SECURITY.md',
  ...readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.md'))
    .map((path) => `docs/${path}`),
]

t.test('generated documents match the code: npm run docs', async (t) => {
  for (const [path, text] of Object.entries(await generateDocuments()))
    t.equal(read(path), text, path)
})

t.test('every test that docs/standards.md names exists', async (t) => {
  let found = 0
  for (const [, file = '', name = ''] of read('docs/standards.md').matchAll(
    /`([\w./-]+\.test\.ts)`: "([^"]+)"/g,
  )) {
    const text = read(`test/${file}`)
    t.ok(text.includes(`'${name}'`) || text.includes(`${name}\``), `${file}: ${name}`)
    found++
  }
  t.ok(found > 20, `${found} tests are named`)
})

t.test('every npm script that a document names exists', async (t) => {
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> }
  for (const page of pages) {
    for (const [, name = ''] of read(page).matchAll(/npm run (?:--silent )?([a-z:]+)/g)) {
      t.ok(scripts[name], `${page}: npm run ${name}`)
    }
  }
})

t.test('every command that a document names exists', async (t) => {
  const pattern = /(?:ellipsis-broker|npm run --silent broker --) ((?:[a-z][a-z-]+ ?)+)/g
  let found = 0
  for (const page of pages) {
    for (const [, words = ''] of read(page).matchAll(pattern)) {
      let command = program()
      for (const word of words.trim().split(' ')) {
        if (command.commands.length === 0) break
        const next = command.commands.find((child) => child.name() === word)
        if (!next) t.fail(`${page}: ellipsis-broker ${words}`)
        command = next ?? command
      }
      found++
    }
  }
  t.ok(found > 5)
})

t.test('every link to a file of the repository has a target', async (t) => {
  for (const page of pages) {
    for (const [, target = ''] of read(page).matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)/g)) {
      t.ok(existsSync(join(root, page, '..', target)), `${page}: ${target}`)
    }
  }
})
