import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import type { App } from '../../../../db/store.ts'
import type { AdminModels, AppFormFields } from '../../../../views/admin/models.ts'
import { appDefaults, defaultOrigins } from '../../../oauth/apps.ts'
import type { AppSettings } from '../../../oauth/apps.ts'
import { formatDuration, parseDuration } from '../../../oauth/duration.ts'
import { redirectUriProblem } from '../../../oauth/redirect-uri.ts'
import { BrokerError } from '../../../errors.ts'
import type { HttpServices } from '../../../services.ts'
import { plainName } from './format.ts'
import { byAdmin } from './request.ts'
import { pathOf } from './apps.ts'

/** Registering and editing apps. */
export const appFormRoutes: FastifyPluginAsync<{ services: HttpServices }> = async (
  app,
  { services: { apps } },
) => {
  /** Checks redirect URIs while the user types; called by the form’s script. */
  app.get('/apps/check', async (request) => {
    const { redirect_uris: given } = request.query as { redirect_uris?: unknown }
    return { problems: typeof given === 'string' ? uriProblems(given) : [] }
  })

  app.get('/apps/new', async (_request, reply) => reply.show('admin/app-form', formOf(empty, null)))

  app.post('/apps/new', async (request, reply) => {
    const fields = fieldsOf(request)
    return trying(reply, fields, null, async () => {
      const made = await apps.add(settingsOf(fields), byAdmin(request))
      const message = `Registered the app “${plainName(made.app.name)}”.`
      if (!made.clientSecret) return reply.done(pathOf(made.app.id), message)
      return reply.show('admin/app-secret', {
        title: message,
        path: pathOf(made.app.id),
        clientId: made.app.id,
        secret: made.clientSecret.reveal(),
        note: null,
      })
    })
  })

  app.get('/apps/:appId/edit', async (request, reply) => {
    const one = await apps.find((request.params as { appId: string }).appId)
    if (!one) return reply.missing('This app does not exist or was removed.')
    return reply.show('admin/app-form', formOf(fieldsOfApp(one), one))
  })

  app.post('/apps/:appId/edit', async (request, reply) => {
    const one = await apps.find((request.params as { appId: string }).appId)
    if (!one) return reply.missing('This app does not exist or was removed.')
    const fields = { ...fieldsOf(request), confidential: one.confidential }
    return trying(reply, fields, one, async () => {
      const { name } = await apps.set(one.id, changesOf(one, settingsOf(fields)), byAdmin(request))
      return reply.done(pathOf(one.id), `Saved “${plainName(name)}”.`)
    })
  })
}

/** Does it; what was wrong with the fields is said above them, with everything that was typed. */
async function trying(
  reply: FastifyReply,
  fields: AppFormFields,
  app: App | null,
  work: () => Promise<unknown>,
): Promise<unknown> {
  try {
    return await work()
  } catch (error) {
    if (!(error instanceof BrokerError) || error.code !== 'invalid_request') throw error
    void reply.code(422)
    return reply.show('admin/app-form', {
      ...formOf(fields, app),
      problems: error.message.split('\n'),
    })
  }
}

const empty: AppFormFields = {
  name: '',
  redirectUris: '',
  origins: '',
  confidential: appDefaults.confidential,
  trusted: appDefaults.trusted,
  lifetime: formatDuration(appDefaults.tokenLifetimeSeconds),
  device: appDefaults.device,
  dpop: appDefaults.dpop,
  deliver: appDefaults.deliver,
  tokens: appDefaults.tokens,
}

const formOf = (fields: AppFormFields, app: App | null): AdminModels['admin/app-form'] => ({
  title: app ? `Edit ${app.name}` : 'Register an app',
  isNew: app === null,
  back: app ? pathOf(app.id) : '/admin/apps',
  fields,
  problems: [],
  uriProblems: fields.redirectUris === '' ? [] : uriProblems(fields.redirectUris),
})

function fieldsOf({ body }: FastifyRequest): AppFormFields {
  const given = body as Record<string, unknown>
  const text = (name: string) => (typeof given[name] === 'string' ? given[name] : '')
  return {
    name: text('name'),
    redirectUris: text('redirect_uris'),
    origins: text('origins'),
    confidential: text('type') === 'confidential',
    trusted: text('trusted') !== '',
    device: text('device') !== '',
    dpop: text('dpop') === '' ? 'optional' : 'required',
    lifetime: text('lifetime'),
    deliver: text('deliver') === 'fragment' ? 'fragment' : 'code',
    tokens: text('tokens') === 'ellipsis' ? 'ellipsis' : 'broker',
  }
}

function fieldsOfApp(app: App): AppFormFields {
  const asDefault = sameList(app.origins, defaultOrigins(app))
  return {
    name: app.name,
    redirectUris: app.redirectUris.join('\n'),
    origins: asDefault ? '' : app.origins.join('\n'),
    confidential: app.confidential,
    trusted: app.trusted,
    device: app.device,
    dpop: app.dpop,
    lifetime: formatDuration(app.tokenLifetimeSeconds),
    deliver: app.deliver,
    tokens: app.tokens,
  }
}

/** @throws BrokerError `invalid_request` for a life that is none */
function settingsOf(fields: AppFormFields): AppSettings & { origins: string[] } {
  const { confidential, trusted, device, dpop, deliver, tokens } = fields
  const [redirectUris, origins] = [linesOf(fields.redirectUris), linesOf(fields.origins)]
  return {
    name: fields.name.trim(),
    redirectUris,
    origins: origins.length > 0 ? origins : defaultOrigins({ confidential, redirectUris }),
    confidential,
    trusted,
    device,
    dpop,
    tokenLifetimeSeconds: parseDuration(fields.lifetime),
    deliver,
    tokens,
  }
}

/** What differs: the event names it. */
function changesOf(before: App, after: AppSettings): Partial<AppSettings> {
  const entries = Object.entries(after).filter(
    ([name, value]) => JSON.stringify(before[name as keyof App]) !== JSON.stringify(value),
  )
  return Object.fromEntries(entries)
}

/** A line each, in the order given; a browser ends them with CRLF. */
const linesOf = (text: string): string[] =>
  text
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== '')

const uriProblems = (text: string): string[] =>
  linesOf(text).flatMap((uri) => {
    const problem = redirectUriProblem(uri)
    return problem === null ? [] : [`${uri} ${problem}.`]
  })

const sameList = (one: string[], other: string[]): boolean => one.join('\n') === other.join('\n')
