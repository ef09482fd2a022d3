import type { FastifyInstance, FastifyReply } from 'fastify'
import type { AdminModels, NavigationLink, Notice, Shell } from '../../../views/admin/models.ts'
import type { HttpServices } from '../../services.ts'
import { cookieName, cookieOptions } from './cookies.ts'
import type { Exactly } from './views.ts'

declare module 'fastify' {
  interface FastifyReply {
    /** Sends a page of the dashboard: a template of that name under views/, with its model and the shell. */
    show<Name extends keyof AdminModels, Given extends AdminModels[Name]>(
      name: Name,
      model: Exactly<AdminModels[Name], Given>,
    ): FastifyReply
    /**
     * Ends a change: on to a page of the dashboard, with a notice that says what was done.
     * @param path the broker's own, without its base path, such as `/admin/apps`
     */
    done(path: `/admin${string}`, words: string, tone?: Notice['tone']): FastifyReply
    /** Has the next page say this, once. Words are shown as they are, never as markup. */
    notify(words: string, tone?: Notice['tone']): void
    /** Sends a page that says what is wrong; the status is set before. */
    problem(words: string): FastifyReply
    /** There is no such thing (any more): 404. */
    missing(words: string): FastifyReply
  }
}

/** The pages that the navigation leads to, in its order; it shows those that there are. */
const NAVIGATION = [
  { title: 'Overview', path: '/admin' },
  { title: 'Users', path: '/admin/users' },
  { title: 'Apps', path: '/admin/apps' },
  { title: 'Signing keys', path: '/admin/keys' },
  { title: 'Audit log', path: '/admin/audit' },
  { title: 'Admins', path: '/admin/admins' },
  { title: 'Account', path: '/admin/account' },
]

/** Longest notice: a cookie holds 4096 bytes. */
const LONGEST_NOTICE = 600
const NOTICE_SECONDS = 60

/** Adds what the dashboard's pages are made with. */
export function adminPages(app: FastifyInstance, { config }: HttpServices): void {
  const { basePath } = config
  const secure = config.publicUrl.startsWith('https:')
  const cookie = cookieName('notice', secure)
  const pages = () =>
    NAVIGATION.filter(({ path }) => app.hasRoute({ method: 'GET', url: basePath + path }))

  app.decorateReply('notify', function (words, tone = 'done') {
    const value = JSON.stringify({ tone, words: words.slice(0, LONGEST_NOTICE) })
    const options = { ...cookieOptions(secure), maxAge: NOTICE_SECONDS }
    void this.setCookie(cookie, Buffer.from(value).toString('base64url'), options)
  })

  app.decorateReply('done', function (path, words, tone = 'done') {
    this.notify(words, tone)
    return this.redirect(basePath + path, 303)
  })

  app.decorateReply('show', function (name, model) {
    const notice = readNotice(this.request.cookies[cookie])
    if (notice) void this.clearCookie(cookie, cookieOptions(secure))
    const { signedIn } = this.request
    const shell: Shell = {
      nav: pages().map(({ title, path }) => link(title, basePath + path, this)),
      email: signedIn.admin.email,
      mayChange: signedIn.admin.role === 'admin',
      notice,
      csrf: this.generateCsrf(),
    }
    return this.view(`${name}.eta`, { ...model, shell })
  })

  app.decorateReply('problem', function (message) {
    const isInside = (this.request.signedIn as unknown) !== null
    const title = 'That did not work'
    return isInside
      ? this.show('admin/problem', { title, message })
      : this.page('notice', { title, message })
  })

  app.decorateReply('missing', function (message) {
    return this.code(404).show('admin/problem', { title: 'Nothing here', message })
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
    const given = JSON.parse(Buffer.from(value, 'base64url').toString()) as Partial<Notice> | null
    if (typeof given?.words !== 'string') return null
    return { tone: given.tone === 'done' ? 'done' : 'problem', words: given.words }
  } catch {
    return null
  }
}
