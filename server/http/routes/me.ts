import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import type { TextKey } from '../../../views/translations/translation.ts'
import type { MyAccess, Visitor } from '../../me/my-access.ts'
import { describeData } from '../../me/my-data.ts'
import { PERSON_SESSION_LIFETIME_MS } from '../../me/sessions.ts'
import { Secret } from '../../secret.ts'
import type { HttpServices } from '../../services.ts'
import { cookieName, cookieOptions } from '../plugins/cookies.ts'
import { protectForms } from '../plugins/csrf.ts'
import { allowFormRedirects } from '../plugins/headers.ts'
import { readBrowserCookie } from './browser-cookie.ts'
import { confirmations, toMyPage } from './me-view.ts'
import { page, tooManyFailures } from './schemas.ts'
import { setFlowCookie } from './upstream-flow.ts'

const [SESSION_COOKIE, NOTICE_COOKIE] = ['me', 'me-notice']
const NOTICE_LIFETIME_SECONDS = 60

/** What the next page says. */
const NOTICES = {
  device: 'me.doneDevice',
  app: 'me.doneApp',
  link: 'me.doneLink',
  all: 'me.doneAll',
  erase: 'me.doneErase',
  already: 'me.doneAlready',
  'sign-out': 'me.doneSignOut',
  expired: 'me.expired',
  denied: 'me.denied',
  failed: 'me.failed',
  form: 'form.expired',
} satisfies Record<string, TextKey>
export type MyNotice = keyof typeof NOTICES
const PROBLEMS: MyNotice[] = ['expired', 'denied', 'failed', 'form']

const schema = {
  operationId: 'me',
  tags: ['connect'],
  summary: 'What a user connected',
  description:
    'For users: the apps, devices and links that use their Ellipsis Drive, to disconnect them. Link to it from your app.',
  security: [],
  response: {
    200: page('The user’s connections, or the page where they sign in.'),
    429: tooManyFailures,
  },
}

/** Starts a session at `/me`, or says why it cannot. Redirects there. */
export function redirectToMe(
  { session, notice }: { session?: Secret; notice?: MyNotice },
  reply: FastifyReply,
  { config }: HttpServices,
): FastifyReply {
  const set = (name: string, value: string, maxAge: number) =>
    reply.setCookie(cookieName(name, config), value, { ...cookieOptions(config), maxAge })
  if (session) set(SESSION_COOKIE, session.reveal(), PERSON_SESSION_LIFETIME_MS / 1000)
  if (notice) set(NOTICE_COOKIE, notice, NOTICE_LIFETIME_SECONDS)
  return reply.redirect(`${config.basePath}/me`, 303)
}

/** The pages where people see what they connected, and end it. */
export const meRoutes: FastifyPluginAsync<{ services: HttpServices }> = async (
  app,
  { services },
) => {
  const { config, clock, myAccess, personSessions, personSignIn } = services
  app.addHook('onRequest', app.failureLimits.check)
  protectForms(app, config)

  const readSession = ({ cookies }: FastifyRequest): Secret | undefined => {
    const value = cookies[cookieName(SESSION_COOKIE, config)]
    return value === undefined ? undefined : new Secret(value)
  }

  const findVisitor = async (request: FastifyRequest): Promise<Visitor | undefined> => {
    const session = readSession(request)
    const person = session && (await personSessions.find(session))
    const browser = readBrowserCookie(request, config) ?? null
    return person && { person, browser, address: request.ip }
  }

  /** Runs `work` for the visitor; without a session, it ends where they sign in. */
  const withVisitor = async (
    request: FastifyRequest,
    reply: FastifyReply,
    work: (visitor: Visitor) => Promise<unknown>,
  ): Promise<unknown> => {
    const visitor = await findVisitor(request)
    return visitor ? work(visitor) : redirectToMe({ notice: 'expired' }, reply, services)
  }

  /** The notice of the last change, shown once. */
  const takeNotice = ({ cookies }: FastifyRequest, reply: FastifyReply) => {
    const name = cookieName(NOTICE_COOKIE, config)
    const notice = cookies[name] ?? ''
    if (!Object.hasOwn(NOTICES, notice)) return null
    void reply.clearCookie(name, cookieOptions(config))
    const isProblem = PROBLEMS.includes(notice as MyNotice)
    return { text: reply.translator().text(NOTICES[notice as MyNotice]), isProblem }
  }

  const list = async (visitor: Visitor) => ({
    own: await myAccess.list(visitor),
    apps: await myAccess.listApps(),
    now: clock.now(),
  })

  app.get('/me', { schema, config: { page: true } }, async (request, reply) => {
    const notice = takeNotice(request, reply)
    const csrf = reply.generateCsrf()
    const { operator } = config
    const visitor = await findVisitor(request)
    if (visitor) {
      const view = toMyPage({ visitor, ...(await list(visitor)) }, reply.translator(), services)
      return reply.page('me', { ...view, notice, csrf, operator })
    }
    allowFormRedirects(reply, config)
    return reply.page('me-sign-in', { notice, csrf, operator })
  })

  const renewForm = async (_request: FastifyRequest, reply: FastifyReply) =>
    redirectToMe({ notice: 'form' }, reply, services)
  const form = { config: { page: true, renewForm }, preHandler: app.csrfProtection }

  app.post('/me/sign-in', form, async (request, reply) => {
    const { location, cookie } = personSignIn.begin()
    setFlowCookie(cookie, request, reply, config)
    return reply.redirect(location, 303)
  })

  app.post('/me/sign-out', form, async (request, reply) => {
    const session = readSession(request)
    if (session) await personSessions.end(session)
    void reply.clearCookie(cookieName(SESSION_COOKIE, config), cookieOptions(config))
    return redirectToMe({ notice: 'sign-out' }, reply, services)
  })

  app.get('/me/data.json', (request, reply) =>
    withVisitor(request, reply, async (visitor) => {
      const own = await myAccess.list(visitor, { allEvents: true })
      const data = describeData(visitor.person, own, await myAccess.listApps(), clock.now())
      const text = JSON.stringify(data, null, 2)
      void reply.header('content-disposition', 'attachment; filename="ellipsis-broker.json"')
      return reply.type('application/json; charset=utf-8').send(text)
    }),
  )

  /** A page that asks, and the form that does it. */
  const addChange = (
    path: string,
    notice: MyNotice & keyof typeof confirmations,
    change: (access: MyAccess, visitor: Visitor, id: string) => Promise<boolean>,
  ): void => {
    const idOf = (request: FastifyRequest) => (request.params as { id?: string }).id ?? ''
    app.get(path, { config: { page: true } }, (request, reply) =>
      withVisitor(request, reply, async (visitor) => {
        const mine = { visitor, ...(await list(visitor)) }
        const question = confirmations[notice](mine, idOf(request), reply.translator())
        if (!question) return redirectToMe({ notice: 'already' }, reply, services)
        const action = request.url.replace(/[?#].*$/s, '')
        const csrf = reply.generateCsrf()
        return reply.page('me-confirm', { ...question, action, csrf, now: mine.now })
      }),
    )
    app.post(path, form, (request, reply) =>
      withVisitor(request, reply, async (visitor) => {
        const isChanged = await change(myAccess, visitor, idOf(request))
        return redirectToMe({ notice: isChanged ? notice : 'already' }, reply, services)
      }),
    )
  }

  addChange('/me/devices/:id/disconnect', 'device', (access, visitor, id) =>
    access.disconnectDevice(visitor, id),
  )
  addChange('/me/apps/:id/disconnect', 'app', (access, visitor, id) =>
    access.disconnectApp(visitor, id),
  )
  addChange('/me/links/:id/revoke', 'link', (access, visitor, id) => access.revokeLink(visitor, id))
  addChange('/me/disconnect', 'all', (access, visitor) => access.disconnectAll(visitor))
  addChange('/me/erase', 'erase', (access, visitor) => access.erase(visitor))
}
