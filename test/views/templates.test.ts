import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { checkTemplates, readTemplates } from './checker.ts'

const root = join(import.meta.dirname, '../..')
const templates = readTemplates()

t.test('templates read all fields of their models, and no others', async (t) => {
  t.strictSame(checkTemplates(templates), [])
})

t.test('every template is used', async (t) => {
  const sources = globSync(['server/**/*.ts', 'views/**/*.eta'], { cwd: root })
    .map((path) => readFileSync(join(root, path), 'utf8'))
    .join('\n')
  const used = [...sources.matchAll(/(?:page|show|include|layout)\(\s*'(?:\.+\/)*([\w/-]+)'/g)]
  const names = new Set(used.map(([, name]) => name))
  const isUsed = (name: string) => names.has(name) || names.has(name.replace('admin/', ''))
  t.strictSame(
    [...templates.keys()].filter((name) => !isUsed(name)),
    [],
  )
})

t.test('the check finds mistakes', async (t) => {
  const types = `
    interface Person { name: string; age: number; note?: string }
    export interface Templates {
      page: { title: string; people: Person[]; count: number | null; hint: string | null; unread: string }
      person: { person: Person }
      frame: { title: string; hint: string | null; body: string }
      lost: { title: string }
    }`
  const page = `<% layout('./frame', { ...it }) %>
    <%= it.titel %>
    <% for (const { name, years } of it.people) { %>
      <%= name %>
    <% } %>
    <%= it.count %>
    <%~ include('./person', { person: it.people }) %>
    <%~ include('./nobody', {}) %>`
  const person = '<%= it.person.nam %><%= it.person.note ?? 1 %>'
  const frame = '<title><%= it.title %></title><% if (it.hint) { %><%~ it.body %><% } %>'
  const problems = checkTemplates(new Map(Object.entries({ page, person, frame })), types)
  t.strictSame(
    problems.map((problem) => problem.replace(/ (in|on|of) type .*/, '')),
    [
      "views/names.ts:3 Property 'lost' is missing",
      "views/page.eta:2 Property 'titel' does not exist",
      "views/page.eta:3 Property 'years' does not exist",
      "views/page.eta:3 'years' is declared but its value is never read.",
      'views/page.eta:6 Argument',
      "views/page.eta:7 Type 'Person[]' is missing the following properties from type 'Person': name, age",
      'views/page.eta:8 Argument',
      "views/person.eta:1 Property 'nam' does not exist",
      "views/page.eta doesn't read people[].age",
      'views/page.eta reads people[].note, which may never be set: use null',
      "views/page.eta doesn't read unread",
      "views/person.eta doesn't read person.name",
      "views/person.eta doesn't read person.age",
      'views/person.eta reads person.note, which may never be set: use null',
    ],
  )
})
