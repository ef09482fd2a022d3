/** The table of libraries in docs/connect/README.md says what is installed, configured and tested. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'

const root = join(import.meta.dirname, '../..')
const read = (path: string) => readFileSync(join(root, path), 'utf8')
const readJson = (path: string) => JSON.parse(read(path)) as Record<string, Record<string, string>>

const installed = {
  ...readJson('package.json').devDependencies,
  ...readJson('test/clients/libraries/package.json').dependencies,
}

interface Row {
  library: string
  page: string
  anchor: string
  version: string
  works: string
  test: string
}
const ROW =
  /^\| \[(?<library>\S+)\]\((?<page>[\w.-]+)#(?<anchor>[\w-]+)\).*?\| (?<version>.*?) +\| (?<works>.*?) +\| \[(?<test>\S+)\]/gm
const rows = [...read('docs/connect/README.md').matchAll(ROW)].map(
  ({ groups }) => groups as unknown as Row,
)

/** GitHub's anchor of a heading. */
const anchorOf = (heading: string) =>
  heading
    .toLowerCase()
    .replace(/[^\w\- ]/g, '')
    .replaceAll(' ', '-')

/** The sections of a page, by the anchor of their heading. */
const sectionsOf = (page: string) =>
  new Map(
    read(`docs/connect/${page}`)
      .split('\n## ')
      .map((text) => [anchorOf(text.slice(0, text.indexOf('\n'))), text]),
  )

t.test('each row names the installed version, its section, its setting and its test', async (t) => {
  t.ok(rows.length > 10)
  for (const { library, page, anchor, version, works, test } of rows) {
    const range = installed[library]
    if (range !== undefined) t.equal(version, range.replace('^', ''), library)
    const section = sectionsOf(page).get(anchor)
    if (section === undefined) {
      t.fail(`${library}: no section #${anchor} in ${page}`)
      continue
    }
    const setting = /^`([^`]+)`/.exec(works)?.[1]
    t.ok(
      works === 'yes' || (setting !== undefined && section.includes(setting)),
      `${library}: ${works}`,
    )
    t.ok(existsSync(join(root, test)) && read(test).includes(library), `${library}: ${test}`)
  }
})

t.test('each library of node.md has a row; the rows are sorted', async (t) => {
  const libraries = rows.map(({ library }) => library)
  t.strictSame(libraries, [...libraries].sort())
  const anchors = rows.filter(({ page }) => page === 'node.md').map(({ anchor }) => anchor)
  const [, , ...sections] = sectionsOf('node.md').keys()
  t.strictSame(anchors.sort(), sections.sort())
})
