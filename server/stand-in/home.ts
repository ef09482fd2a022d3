import type { FastifyPluginAsync } from 'fastify'
import { CONTROL_TEXTS, ENDPOINT_TEXTS, FAULT_TEXTS } from './descriptions.ts'
import { ENDPOINTS } from './faults.ts'
import { html, sendPage } from './page.ts'
import type { StandIn } from './stand-in.ts'
import type { Switches } from './switches.ts'
import { switchSchema } from './switches.ts'
import type { User } from './users.ts'

const EXAMPLE = (origin: string) => `curl ${origin}/control -H 'content-type: application/json' \\
  -d '{"rotation": "always", "tokenLifetime": 60}'
curl ${origin}/control/faults -H 'content-type: application/json' \\
  -d '{"endpoint": "refresh", "kind": "status", "status": 503, "retryAfter": 5, "times": 3}'`

/** The home page that describes the stand-in: HTML for browsers, JSON otherwise. */
export const homeRoutes: FastifyPluginAsync<{ standIn: StandIn }> = async (app, { standIn }) => {
  const { sessions } = standIn

  app.get('/', async (request, reply) => {
    const wantsHtml = request.headers.accept?.includes('text/html')
    if (!wantsHtml) return summary(standIn)
    const origin = `${request.protocol}://${request.host}`
    return sendPage(
      reply,
      'Ellipsis Drive stand-in',
      homePage(standIn, origin, sessions.findUser(request)),
    )
  })

  app.post('/log-out', async (request, reply) => {
    sessions.logOut(request, reply)
    return reply.redirect('/', 303)
  })
}

function summary({ users, clients, switches }: StandIn) {
  return {
    message: 'A local stand-in for Ellipsis Drive, for development. This is not Ellipsis Drive.',
    addresses: Object.fromEntries(ENDPOINT_TEXTS),
    control: Object.fromEntries(CONTROL_TEXTS),
    users: users.list().map(({ id, username, name }) => ({ id, username, name })),
    clients: clients.map(({ id, redirectUris }) => ({ id, redirect_uris: redirectUris })),
    switches,
  }
}

const KEPT = 'Users and tokens are kept when the stand-in stops; switches and faults are not.'
const NOT_KEPT = 'All data is deleted when the stand-in stops.'

function homePage(
  { users, clients, switches, isKept }: StandIn,
  origin: string,
  user: User | undefined,
) {
  const userItems = users.list().map(({ username, name }) => html`<li>${name} (${username})</li>`)
  const clientItems = clients.map(
    ({ id, redirectUris }) =>
      html`<li><code>${id}</code>, redirect URIs: ${redirectUris.join(', ')}</li>`,
  )
  return html`
    <p>
      Behaves like Ellipsis Drive, as far as its behaviour is known, for development and tests. The
      API is at <code>${origin}/v3</code>. ${isKept ? KEPT : NOT_KEPT}
    </p>
    ${loginStatus(user)}
    <h2>Users (fictional)</h2>
    <ul>
      ${userItems}
    </ul>
    <h2>Clients</h2>
    <ul>
      ${clientItems}
    </ul>
    <h2>Endpoints</h2>
    ${definitionList(ENDPOINT_TEXTS)}
    <h2>Switches</h2>
    <dl>${Object.entries(switches).map(describeSwitch)}</dl>
    <h2>Control (stand-in only)</h2>
    ${definitionList(CONTROL_TEXTS)}
    <h2>Fault kinds</h2>
    ${definitionList(FAULT_TEXTS)}
    <p>
      With worked: true, the faults status, hang, garbage and html apply after the work. Endpoint
      names in call counts and faults: ${ENDPOINTS.join(', ')}.
    </p>
    <pre>${EXAMPLE(origin)}</pre>
  `
}

function loginStatus(user: User | undefined) {
  if (!user) return html`<p>No user is logged in in this browser.</p>`
  return html`
    <form method="post" action="/log-out">
      <span>You are logged in as ${user.name} (${user.username}).</span>
      <button>Log out</button>
    </form>
  `
}

const definitionList = (list: [string, string][]) => html`
  <dl>
    ${list.map(
      ([term, meaning]) =>
        html`<dt><code>${term}</code></dt>
          <dd>${meaning}</dd> `,
    )}
  </dl>
`

function describeSwitch([name, value]: [string, string | number | boolean]) {
  const { description } = switchSchema.properties[name as keyof Switches]
  return html`<dt>
      <code>${name}: ${String(value)}</code>
    </dt>
    <dd>${description}</dd> `
}
