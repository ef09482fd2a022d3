import type { FastifyInstance, FastifyReply } from 'fastify'
import type { AdminModels, NavigationLink, Notice, Shell } from '../../../views/admin/models.ts'
import type { HttpServices } from '../../services.ts'
import { cookieName, cookieOptions } from './cookies.ts'
import { mustEnrol } from './session.ts'
import type { Exactly } from './views.ts'

declare module 'fastify' {
  interface FastifyReply {
    /** Sends a page of the dashboard: the template `views/NAME.eta` with its model and the shell. */
    show<Name extends keyof AdminModels, Given extends AdminModels[Name]>(
      name: Name,
      model: Exactly<AdminModels[Name], Given>,
    ): FastifyReply
    /**
     * Ends a change: redirects to a page of the dashboard with a notice of what was done.
     * @param path without the base path, such as `/admin/apps`
     */
    done(path: `/admin${string}`, message: string, tone?: Notice['tone']): FastifyReply
    /** Shows a notice once, on the next page. The message is text, never markup. */
    notify(message: string, tone?: Notice['tone']): void
    /** Sends a page with an error message; set the status first. */
    problem(message: string): FastifyReply
    /** Sends 404 with a message. */
    missing(message: string): FastifyReply
  }
}

/** The links of the navigation, in order. */
const NAVIGATION = [
  { title: 'Overview', path: '/admin' },
  { title: 'Users', path: '/admin/users' },
  { title: 'Apps', path: '/admin/apps' },
  { title: 'Webhooks', path: '/admin/webhooks' },
  { title: 'Signing keys', path: '/admin/keys' },
  { title: 'Audit log', path: '/admin/audit' },
  { title: 'Admins', path: '/admin/admins' },
  { title: 'Account', path: '/admin/account' },
]

/** A notice is kept in a cookie, which holds 4096 bytes. */
const MAX_NOTICE_LENGTH_CHARS = 600
const NOTICE_LIFETIME_SECONDS = 60

/** Adds the reply methods of the dashboard. */
export function adminPages(app: FastifyInstance, services: HttpServices): void {
  const { config } = services
  const { basePath } = config
  const cookie = cookieName('notice', config)

  app.decorateReply('notify', function (message, tone = 'done') {
    const value = JSON.stringify({ tone, words: message.slice(0, MAX_NOTICE_LENGTH_CHARS) })
    const options = { ...cookieOptions(config), maxAge: NOTICE_LIFETIME_SECONDS }
    void this.setCookie(cookie, Buffer.from(value).toString('base64url'), options)
  })

  app.decorateReply('done', function (path, message, tone = 'done') {
    this.notify(message, tone)
    return this.redirect(basePath + path, 303)
  })

  app.decorateReply('show', function (name, model) {
    const notice = readNotice(this.request.cookies[cookie])
    if (notice) void this.clearCookie(cookie, cookieOptions(config))
    const { signedIn } = this.request
    const shell: Shell = {
      nav: (mustEnrol(signedIn, services) ? [] : NAVIGATION).map(({ title, path }) =>
        link(title, basePath + path, this),
      ),
      email: signedIn.admin.email,
      mayChange: signedIn.admin.role === 'admin',
      notice,
      csrf: this.generateCsrf(),
    }
    return this.view(`${name}.eta`, { ...model, shell })
  })

  app.decorateReply('problem', function (message) {
    const isInside = (this.request.signedIn as unknown) !== null
    const title = 'Something went wrong'
    return isInside
      ? this.show('admin/problem', { title, message })
      : this.page('notice', { title, message })
  })

  app.decorateReply('missing', function (message) {
    return this.code(404).show('admin/problem', { title: 'Not found', message })
  })

  const link = (title: string, href: string, { request }: FastifyReply): NavigationLink => {
    const path = request.url.replace(/[?#].*$/s, '')
    const isHome = href === `${basePath}/admin`
    const isCurrent = path === href || (!isHome && path.startsWith(`${href}/`))
    return { title, href, isCurrent }
  }
}

function readNotice(value: string | undefined): Notice | null {
  if (value === undefined) return null
  try {
    const notice = JSON.parse(Buffer.from(value, 'base64url').toString()) as Partial<Notice> | null
    if (typeof notice?.words !== 'string') return null
    return { tone: notice.tone === 'done' ? 'done' : 'problem', words: notice.words }
  } catch {
    return null
  }
}
