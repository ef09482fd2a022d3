import type { FastifyPluginAsync, FastifyReply } from 'fastify'
import { readPasskeyForm, sendPasskeyOptions } from '../../plugins/passkeys.ts'
import { browserOf, findSession, safeNext, setSession } from '../../plugins/session.ts'
import type { HttpServices } from '../../../services.ts'
import { PASSKEY_REFUSED, fieldReader, tooManyAttempts } from './request.ts'
import { signInForms } from './sign-in-forms.ts'

/** Sign in with a passkey: in place of e-mail address and password, or after them. */
export const passkeySignInRoutes: FastifyPluginAsync<{ services: HttpServices }> = async (
  app,
  { services },
) => {
  const { clock, passkeySignIn } = services
  const forms = signInForms(services)

  /** The session begun with the password, if this browser has one. */
  const findHalfway = async (request: Parameters<typeof findSession>[0]) => {
    const found = await findSession(request, services)
    return found?.session.complete === false ? found : undefined
  }
  const startOver = (reply: FastifyReply) => reply.redirect(forms.action, 303)

  app.post('/sign-in/passkey/options', async (_request, reply) =>
    sendPasskeyOptions(reply, await passkeySignIn.offer(undefined), services),
  )

  app.post('/sign-in/code/passkey/options', async (request, reply) => {
    const halfway = await findHalfway(request)
    if (!halfway) return startOver(reply)
    return sendPasskeyOptions(reply, await passkeySignIn.offer(halfway), services)
  })

  for (const path of ['/sign-in/passkey', '/sign-in/code/passkey']) {
    const isSecond = path === '/sign-in/code/passkey'
    const renewForm = isSecond ? forms.renewCodeForm : forms.renewForm
    app.post(path, { config: { renewForm } }, async (request, reply) => {
      const next = fieldReader(request.body)('next')
      const halfway = isSecond ? await findHalfway(request) : undefined
      if (isSecond && !halfway) return startOver(reply)
      const response = readPasskeyForm(request, reply, services)
      const outcome = await passkeySignIn.signIn(halfway, response, browserOf(request, services))
      if (outcome.kind === 'signed_in') {
        setSession(reply, outcome, services)
        return reply.redirect(safeNext(next, services), 303)
      }
      const problem =
        outcome.kind === 'slowed'
          ? tooManyAttempts(reply, outcome.until - clock.now())
          : PASSKEY_REFUSED
      if (outcome.kind === 'refused') void reply.code(401)
      return halfway
        ? forms.showCodeForm(reply, halfway, { next, problem })
        : forms.showForm(reply, { next, problem })
    })
  }
}
