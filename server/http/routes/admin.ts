import type { FastifyPluginAsync } from 'fastify'
import { adminPages } from '../plugins/admin-pages.ts'
import { checkSameOrigin, protectForms } from '../plugins/csrf.ts'
import { isSafe, requireSession } from '../plugins/session.ts'
import type { HttpServices } from '../../services.ts'
import { accountRoutes } from './admin/account.ts'
import { adminsRoutes } from './admin/admins.ts'
import { keysRoutes } from './admin/keys.ts'
import { appActionRoutes } from './admin/app-actions.ts'
import { appFormRoutes } from './admin/app-form.ts'
import { appsRoutes } from './admin/apps.ts'
import { auditRoutes } from './admin/audit.ts'
import { bulkRoutes } from './admin/bulk.ts'
import { overviewRoutes } from './admin/overview.ts'
import { secondFactorRoutes } from './admin/second-factor.ts'
import { setupRoutes } from './admin/setup.ts'
import { signInRoutes } from './admin/sign-in.ts'
import { userActionRoutes } from './admin/user-actions.ts'
import { userRoute } from './admin/user.ts'
import { usersRoutes } from './admin/users.ts'

/**
 * The dashboard, everything under `/admin`. One scope for strangers (setting up, signing in), and one in
 * which somebody is signed in (`request.signedIn`). How it is added to:
 *
 * **A page** is a plugin in `server/routes/admin/`, registered below among the pages, a model in
 * `views/admin/models.ts`, and a template in `views/admin/` that begins with
 * `<% layout('./layout', { ...it, title: 'Apps' }) %>`. The handler asks the domain, makes the model and
 * answers `reply.show('admin/apps', model)`. What isn't there: `reply.missing('There is no such app.')`.
 * The navigation (`server/http/plugins/admin-pages.ts`) shows a page as soon as its route is there. Addresses
 * are made with `it.url('/admin/apps')`, for the base path. Add the page to `test/pages.ts`, from which
 * axe and `npm run pictures` take it.
 *
 * **A change** is a POST. Its form has `<input type="hidden" name="_csrf" value="<%= it.shell.csrf %>">`;
 * token and origin are checked here, for every route. Once it is done, `reply.done('/admin/apps', 'Added
 * the app “Map”.')` leads on (303) with a notice; the path is one of ours, never one that was sent. A
 * form that won't do is shown again: `reply.code(422).show(…)` with `problem` in its model. A GET
 * changes nothing, ever.
 *
 * **Roles**: a viewer looks; whatever isn't GET takes the role `admin`, without a word in the route.
 * `config: { own: true }` is for what concerns the visitor's own account alone, and viewers may too.
 * Templates leave out the forms and buttons of changes unless `it.shell.mayChange`.
 *
 * **Before a loss**, ask: the button of the page is a link to a GET that shows `admin/confirm`, with what
 * the deed does and doesn't do; its form posts to the same address, where the deed is done. Events name
 * `actorOf(request)` as who did it, and `request.ip`.
 */
export const adminRoutes: FastifyPluginAsync<{ services: HttpServices }> = async (
  app,
  { services },
) => {
  const { config } = services
  app.addHook('onRoute', (route) => {
    route.config = { ...route.config, page: 'admin' }
  })
  app.decorateRequest('signedIn', null as never)
  adminPages(app, services)
  await protectForms(app, config)
  const checkToken = app.csrfProtection.bind(app)
  app.addHook('preHandler', (request, reply, done) => {
    if (isSafe(request)) return done()
    checkSameOrigin(request, config.publicUrl, 'Nothing was changed.')
    checkToken(request, reply, done)
  })

  await app.register(setupRoutes, { services })
  await app.register(signInRoutes, { services })

  await app.register(async (pages) => {
    requireSession(pages, services)
    await pages.register(overviewRoutes, { services })
    await pages.register(bulkRoutes, { services })
    await pages.register(auditRoutes, { services })
    await pages.register(keysRoutes, { services })
    await pages.register(adminsRoutes, { services })
    await pages.register(accountRoutes, { services })
    await pages.register(secondFactorRoutes, { services })
    await pages.register(usersRoutes, { services })
    await pages.register(appsRoutes, { services })
    await pages.register(appFormRoutes, { services })
    await pages.register(appActionRoutes, { services })
    await pages.register(userRoute, { services })
    await pages.register(userActionRoutes, { services })
  })
}
