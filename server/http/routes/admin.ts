import type { FastifyPluginAsync } from 'fastify'
import { adminPages } from '../plugins/admin-pages.ts'
import { protectForms } from '../plugins/csrf.ts'
import { isSafe, requireLocalAccount, requireSession } from '../plugins/session.ts'
import type { HttpServices } from '../../services.ts'
import { accountRoutes } from './admin/account.ts'
import { adminsRoutes } from './admin/admins.ts'
import { identityRoutes } from './admin/identity.ts'
import { keysRoutes } from './admin/keys.ts'
import { appActionRoutes } from './admin/app-actions.ts'
import { appFormRoutes } from './admin/app-form.ts'
import { appsRoutes } from './admin/apps.ts'
import { auditRoutes } from './admin/audit.ts'
import { bulkRoutes } from './admin/bulk.ts'
import { oidcAccountRoutes, oidcSignInRoutes } from './admin/oidc.ts'
import { overviewRoutes } from './admin/overview.ts'
import { passkeyRoutes } from './admin/passkeys.ts'
import { secondFactorRoutes } from './admin/second-factor.ts'
import { setupRoutes } from './admin/setup.ts'
import { passkeySignInRoutes } from './admin/passkey-sign-in.ts'
import { signInLinkRoutes } from './admin/sign-in-link.ts'
import { signInRoutes } from './admin/sign-in.ts'
import { userActionRoutes } from './admin/user-actions.ts'
import { userRoute } from './admin/user.ts'
import { usersRoutes } from './admin/users.ts'
import { webhooksRoutes } from './admin/webhooks.ts'

/**
 * The dashboard: everything under `/admin`. One scope is public (setup, sign-in); the other requires a
 * session (`request.signedIn`).
 *
 * **To add a page**: write a plugin in `server/http/routes/admin/` and register it below, a model in
 * `views/admin/models.ts`, and a template in `views/admin/` that starts with
 * `<% layout('./layout', { ...it, title: 'Apps' }) %>`. The handler asks the domain, builds the model and
 * returns `reply.show('admin/apps', model)`; for something that does not exist,
 * `reply.missing('This app does not exist or was removed.')`. Add its link to the navigation
 * (`server/http/plugins/admin-pages.ts`). Build URLs with `it.url('/admin/apps')`, which adds the base
 * path. Add the page to `test/pages.ts`, which axe and `npm run pictures` use.
 *
 * **To add a change**: use a POST whose form has
 * `<input type="hidden" name="_csrf" value="<%= it.shell.csrf %>">`. The hook below checks token and origin
 * on every route. On success, `reply.done('/admin/apps', 'Added the app “Map”.')` redirects (303) with a
 * notice. The path is fixed, never taken from the request. Show an invalid form again with
 * `reply.code(422).show(…)` and `problem` in its model. A GET never changes anything.
 *
 * **Roles**: viewers can read. Every method other than GET requires the role `admin`, without code in the
 * route. `config: { own: true }` marks changes to the admin's own account, which viewers may make too.
 * Templates show forms and buttons of changes only if `it.shell.mayChange`.
 *
 * **Before a destructive action**, ask for confirmation: the button is a link to a GET that shows
 * `admin/confirm` with what the action does and does not do. Its form posts to the same URL, which performs
 * the action. The actor of the event is `byAdmin(request)`.
 *
 * **What only a recently confirmed admin may do** (`config: { fresh: '/admin/keys' }`) first leads to the page that
 * asks for password and second factor, or leads to the identity provider, unless that was within ten minutes; then to
 * that path.
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
  protectForms(app, config)
  app.addHook('preHandler', async (request, reply) =>
    isSafe(request) ? undefined : app.csrfProtection(request, reply),
  )

  await app.register(setupRoutes, { services })
  await app.register(signInRoutes, { services })
  await app.register(passkeySignInRoutes, { services })
  await app.register(oidcSignInRoutes, { services })
  await app.register(signInLinkRoutes, { services })

  await app.register(async (pages) => {
    requireSession(pages, services)
    await pages.register(overviewRoutes, { services })
    await pages.register(bulkRoutes, { services })
    await pages.register(auditRoutes, { services })
    await pages.register(identityRoutes, { services })
    await pages.register(keysRoutes, { services })
    await pages.register(adminsRoutes, { services })
    await pages.register(accountRoutes, { services })
    await pages.register(oidcAccountRoutes, { services })
    await pages.register(async (local) => {
      requireLocalAccount(local, services)
      await local.register(secondFactorRoutes, { services })
      await local.register(passkeyRoutes, { services })
    })
    await pages.register(usersRoutes, { services })
    await pages.register(appsRoutes, { services })
    await pages.register(appFormRoutes, { services })
    await pages.register(appActionRoutes, { services })
    await pages.register(webhooksRoutes, { services })
    await pages.register(userRoute, { services })
    await pages.register(userActionRoutes, { services })
  })
}
