import type { FastifyPluginAsync } from 'fastify'
import { ENDPOINTS } from './faults.ts'
import { html } from './html.ts'
import { sendPage } from './layout.ts'
import type { StandIn } from './stand-in.ts'
import type { Switches } from './switches.ts'
import { switchSchema } from './switches.ts'
import type { User } from './users.ts'

const ADDRESSES: [string, string][] = [
  ['GET /v3/oauth/authorize', 'where a browser goes to log in and allow'],
  ['POST /v3/oauth/token', 'code or refresh token in, tokens out'],
  ['GET /v3/account', 'the account'],
  ['GET /v3/account/root/{root}', 'myDrive, sharedWithMe, favorites or trash'],
  ['GET /v3/path/{id}', 'one path'],
  ['GET /v3/path/{id}/folder/list', 'what lies in a folder'],
]

const CONTROLS: [string, string][] = [
  ['GET /control', 'switches, calls by endpoint, faults that wait'],
  ['POST /control', 'JSON with the switches to turn'],
  ['DELETE /control/calls', 'count from zero'],
  [
    'POST /control/faults',
    'JSON with a fault: endpoint, kind, times or share, and what the kind needs',
  ],
  ['DELETE /control/faults', 'no more faults'],
  ['POST /control/revoke', '{"refresh_token"}: end it and its family'],
  ['POST /control/honours', '{"refresh_tokens": []}: would a refresh with each work now?'],
  ['POST /control/grants', '{"usernames": [], "client_id"}: refresh tokens without a browser'],
]

const FAULTS: [string, string][] = [
  ['status', 'an answer with status, and retryAfter if given'],
  ['delay, late', 'milliseconds more, before the work or after it'],
  ['cut-before, cut-after', 'the connection is destroyed, before the work or after it'],
  ['hang', 'no answer'],
  ['garbage, html', 'status 200, and half of a JSON text, or a page'],
  ['invalid_client, invalid_grant', 'the OAuth error, whatever the client or the token is worth'],
]

const EXAMPLE = (origin: string) => `curl ${origin}/control -H 'content-type: application/json' \\
  -d '{"rotation": "always", "tokenLifetime": 60}'
curl ${origin}/control/faults -H 'content-type: application/json' \\
  -d '{"endpoint": "refresh", "kind": "status", "status": 503, "retryAfter": 5, "times": 3}'`

/** What this is, for whoever visits it: a page, or JSON for who asks for no page. */
export const homeRoutes: FastifyPluginAsync<{ standIn: StandIn }> = async (app, { standIn }) => {
  const { sessions } = standIn

  app.get('/', async (request, reply) => {
    const wantsPage = request.headers.accept?.includes('text/html')
    if (!wantsPage) return summary(standIn)
    const origin = `${request.protocol}://${request.host}`
    return sendPage(reply, 'What this is', page(standIn, origin, sessions.user(request)))
  })

  app.post('/log-out', async (request, reply) => {
    sessions.logOut(request, reply)
    return reply.redirect('/', 303)
  })
}

function summary({ users, clients, switches }: StandIn) {
  return {
    message: 'A local double of Ellipsis Drive, for development. This is not Ellipsis Drive.',
    addresses: Object.fromEntries(ADDRESSES),
    control: Object.fromEntries(CONTROLS),
    users: users.list().map(({ id, username, name }) => ({ id, username, name })),
    clients: clients.map(({ id, redirectUris }) => ({ id, redirect_uris: redirectUris })),
    switches,
  }
}

function page({ users, clients, switches }: StandIn, origin: string, user: User | undefined) {
  const people = users.list().map(({ username, name }) => html`<li>${name} (${username})</li>`)
  const registered = clients.map(
    ({ id, redirectUris }) => html`<li><code>${id}</code>, to ${redirectUris.join(' or ')}</li>`,
  )
  return html`
    <p>
      It answers as Ellipsis Drive does, as far as that is known, so that you can develop and test
      without it. Its API is at <code>${origin}/v3</code>. Nothing is kept when it stops.
    </p>
    ${login(user)}
    <h2>Users, all made up</h2>
    <ul>
      ${people}
    </ul>
    <h2>Clients</h2>
    <ul>
      ${registered}
    </ul>
    <h2>Addresses</h2>
    ${definitions(ADDRESSES)}
    <h2>Switches</h2>
    <dl>${Object.entries(switches).map(describeSwitch)}</dl>
    <h2>Control, which only a stand-in has</h2>
    ${definitions(CONTROLS)}
    <h2>Faults, by kind</h2>
    ${definitions(FAULTS)}
    <p>
      With worked: true, status, hang, garbage and html strike after the work is done. Endpoints, as
      counted and as named in faults: ${ENDPOINTS.join(', ')}.
    </p>
    <pre>${EXAMPLE(origin)}</pre>
  `
}

function login(user: User | undefined) {
  if (!user) return html`<p>Nobody is logged in in this browser.</p>`
  return html`
    <form method="post" action="/log-out">
      <span>You are logged in as ${user.name} (${user.username}).</span>
      <button>Log out</button>
    </form>
  `
}

const definitions = (list: [string, string][]) => html`
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
