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
  const page = read('docs/standards.md')
  const quoted = [...page.matchAll(/^\[\^([\w-]+)\]: `([\w./-]+\.test\.ts)`: "([^"]+)"$/gm)]
  for (const [, , file = '', name = ''] of quoted) {
    const text = read(`test/${file}`)
    t.ok(text.includes(`'${name}'`) || text.includes(`${name}\``), `${file}: ${name}`)
  }
  const defined = [...page.matchAll(/^\[\^([\w-]+)\]:/gm)].map(([, note]) => note)
  t.strictSame(defined, [...new Set(quoted.map(([, note]) => note))], 'each note quotes a test')
  const used = new Set([...page.matchAll(/\[\^([\w-]+)\](?!:)/g)].map(([, note]) => note))
  t.strictSame(new Set(defined), used)
})

/** How many requirements of levels 1 and 2 each section of ASVS 5.0 has. They are its first ones. */
const ASVS_SECTIONS = {
  ...{ '1.1': 2, '1.2': 9, '1.3': 11, '1.4': 3, '1.5': 2, '2.1': 3, '2.2': 3, '2.3': 4, '2.4': 1 },
  ...{ '3.2': 2, '3.3': 4, '3.4': 6, '3.5': 5, '3.7': 2, '4.1': 3, '4.2': 1, '4.3': 2, '4.4': 4 },
  ...{ '5.1': 1, '5.2': 3, '5.3': 2, '5.4': 3, '6.1': 3, '6.2': 12, '6.3': 4, '6.4': 4, '6.5': 5 },
  ...{ '6.6': 3, '6.8': 4, '7.1': 3, '7.2': 4, '7.3': 2, '7.4': 5, '7.5': 2, '7.6': 2 },
  ...{ '8.1': 2, '8.2': 3, '8.3': 1, '8.4': 1, '9.1': 3, '9.2': 4, '10.1': 2, '10.2': 2 },
  ...{ '10.3': 4, '10.4': 11, '10.5': 5, '10.6': 2, '10.7': 3, '11.1': 2, '11.2': 3, '11.3': 3 },
  ...{ '11.4': 4, '11.5': 1, '11.6': 1, '12.1': 3, '12.2': 2, '12.3': 4, '13.1': 1, '13.2': 5 },
  ...{ '13.3': 2, '13.4': 5, '14.1': 2, '14.2': 4, '14.3': 3, '15.1': 3, '15.2': 3, '15.3': 7 },
  ...{ '16.1': 1, '16.2': 5, '16.3': 4, '16.4': 3, '16.5': 3 },
}

t.test('docs/standards.md has every requirement of ASVS 5.0, levels 1 and 2, once', async (t) => {
  const [, part = ''] = read('docs/standards.md').split('## OWASP ASVS 5.0')
  const rows = [...part.matchAll(/^\| ([\d., ]+?) +\|/gm)].flatMap(([, numbers = '']) =>
    numbers.split(', '),
  )
  const expected = Object.entries(ASVS_SECTIONS).flatMap(([section, count]) =>
    Array.from({ length: count }, (_, index) => `${section}.${index + 1}`),
  )
  t.strictSame(rows.filter((number) => number !== '17').sort(), expected.sort())
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
