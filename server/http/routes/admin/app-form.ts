import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import type { App } from '../../../../db/store.ts'
import type { AdminModels, AppFormFields, OptionField } from '../../../../views/admin/models.ts'
import { appOptions, defaultOptions, mapOptions, writeOption } from '../../../oauth/app-options.ts'
import type { AppOption, AppOptions } from '../../../oauth/app-options.ts'
import {
  appDefaults,
  defaultGrantLifetime,
  defaultOrigins,
  parseRequestLimit,
} from '../../../oauth/app-settings.ts'
import type { AppSettings } from '../../../oauth/app-settings.ts'
import { formatDuration, formatLimit, parseDuration, parseLimit } from '../../../oauth/duration.ts'
import { redirectUriProblem } from '../../../oauth/redirect-uri.ts'
import { BrokerError } from '../../../errors.ts'
import type { HttpServices } from '../../../services.ts'
import { visibleText } from '../../../visible-text.ts'
import { consentModel } from '../consent-model.ts'
import { plainName } from './format.ts'
import { hereAfterwards } from '../../plugins/session.ts'
import { byAdmin } from './request.ts'
import { pathOf } from './apps.ts'

/** Registering and editing apps. */
export const appFormRoutes: FastifyPluginAsync<{ services: HttpServices }> = async (
  app,
  { services: { apps, config } },
) => {
  // An app's redirect URIs and options decide who gets tokens.
  const fresh = { fresh: hereAfterwards }

  /** Checks redirect URIs while the user types; called by the form’s script. */
  app.get('/apps/check', async (request) => {
    const { redirect_uris: given } = request.query as { redirect_uris?: unknown }
    return { problems: typeof given === 'string' ? uriProblems(given) : [] }
  })

  /** The consent page of an app with these settings, which need not be valid. Nothing is saved. */
  app.post('/apps/preview', async (request, reply) => {
    const settings = settingsOf(readForm(request))
    const [redirectUri = ''] = settings.redirectUris.filter((uri) => URL.canParse(uri))
    const preview = {
      ...settings,
      name: visibleText(settings.name) || 'Your app',
      grantLifetimeSeconds:
        settings.grantLifetimeSeconds ?? defaultGrantLifetime({ ...appDefaults, ...settings }),
    }
    return reply.page('consent', {
      ...consentModel(preview, { redirectUri, scope: 'projects' }, reply.translator()),
      previewNote: settings.trusted ? TRUSTED_NOTE : PREVIEW_NOTE,
      problem: null,
      action: '',
      fields: [],
      operator: config.operator,
    })
  })

  app.get('/apps/new', { config: fresh }, async (_request, reply) =>
    reply.show('admin/app-form', formOf(emptyForm, null)),
  )

  app.post('/apps/new', { config: fresh }, async (request, reply) => {
    const form = readForm(request)
    return trying(reply, form, null, async () => {
      const made = await apps.add({ ...appDefaults, ...settingsOf(form) }, byAdmin(request))
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

  app.get('/apps/:appId/edit', { config: fresh }, async (request, reply) => {
    const one = await apps.find((request.params as { appId: string }).appId)
    if (!one) return reply.missing('This app does not exist or was removed.')
    return reply.show('admin/app-form', formOf(formOfApp(one), one))
  })

  app.post('/apps/:appId/edit', { config: fresh }, async (request, reply) => {
    const one = await apps.find((request.params as { appId: string }).appId)
    if (!one) return reply.missing('This app does not exist or was removed.')
    const form = { ...readForm(request), confidential: one.confidential }
    return trying(reply, form, one, async () => {
      const { name } = await apps.set(one.id, changesOf(one, settingsOf(form)), byAdmin(request))
      return reply.done(pathOf(one.id), `Saved “${plainName(name)}”.`)
    })
  })
}

const PREVIEW_NOTE = 'Preview: nothing is saved.'
const TRUSTED_NOTE =
  'Preview: nothing is saved. The app is trusted, so users see this page only if the app asks for it.'

/** Does it; what was wrong with the fields is said above them, with everything that was typed. */
async function trying(
  reply: FastifyReply,
  form: AppForm,
  app: App | null,
  work: () => Promise<unknown>,
): Promise<unknown> {
  try {
    return await work()
  } catch (error) {
    if (!(error instanceof BrokerError) || error.code !== 'invalid_request') throw error
    void reply.code(422)
    return reply.show('admin/app-form', {
      ...formOf(form, app),
      problems: error.message.split('\n'),
    })
  }
}

/** The form as typed: options are values, other fields are texts. */
type AppForm = AppFormFields & { options: AppOptions }

const emptyForm: AppForm = {
  name: '',
  redirectUris: '',
  origins: '',
  confidential: appDefaults.confidential,
  lifetime: formatDuration(appDefaults.tokenLifetimeSeconds),
  grantLifetime: '',
  allow: '',
  requestsPerMinute: '',
  requestsPerDay: '',
  options: defaultOptions,
}

const formOf = (
  { options, ...fields }: AppForm,
  app: App | null,
): AdminModels['admin/app-form'] => ({
  title: app ? `Edit ${app.name}` : 'Register an app',
  isNew: app === null,
  back: app ? pathOf(app.id) : '/admin/apps',
  fields,
  commonOptions: optionFields(options, true),
  advancedOptions: optionFields(options, false),
  isAdvancedOpen: !hasAdvancedDefaults({ options, ...fields }, app),
  problems: [],
  uriProblems: fields.redirectUris === '' ? [] : uriProblems(fields.redirectUris),
})

const optionFields = (options: AppOptions, isCommon: boolean): OptionField[] =>
  appOptions
    .filter(([, option]) => (option.isCommon ?? false) === isCommon)
    .map(([name, option]) => optionField(name, option, options[name]))

/** Is every field under “Advanced” as if nobody had chosen? So one with an error is not. */
function hasAdvancedDefaults(form: AppForm, app: App | null): boolean {
  const grantLifetimes = ['', ...(app ? [formatLimit(defaultGrantLifetime(app))] : [])]
  return (
    appOptions.every(
      ([name, option]) => option.isCommon === true || form.options[name] === option.default,
    ) &&
    (['origins', 'lifetime', 'allow', 'requestsPerMinute', 'requestsPerDay'] as const).every(
      (name) => form[name] === emptyForm[name],
    ) &&
    grantLifetimes.includes(form.grantLifetime)
  )
}

/** An option's inputs: one checkbox, or a radio button per value. */
function optionField(name: string, option: AppOption, value: boolean | string): OptionField {
  const values = labelledValues(option)
  return {
    name,
    legend: option.title,
    type: values.length === 1 ? 'checkbox' : 'radio',
    inputs: values.map(([each, label]) => ({
      value: each,
      label,
      checked: each === writeOption(value),
    })),
    hint: option.hint ?? null,
    caution: option.caution ?? null,
  }
}

/** The value that the form posted. An empty checkbox or an unknown value means the default. */
function readOption(option: AppOption, posted: string): boolean | string {
  const values = labelledValues(option).map(([value]) => value)
  const isChecked = values.length === 1 && posted !== ''
  const chosen = isChecked ? values[0] : values.find((value) => value === posted)
  if (chosen === undefined) return option.default
  return typeof option.default === 'boolean' ? chosen === 'yes' : chosen
}

const labelledValues = ({ values }: AppOption): [value: string, label: string][] =>
  Object.entries(values).flatMap(([value, { label }]) =>
    label === undefined ? [] : [[value, label]],
  )

function readForm({ body }: FastifyRequest): AppForm {
  const posted = body as Record<string, unknown>
  const text = (name: string) => (typeof posted[name] === 'string' ? posted[name] : '')
  return {
    name: text('name'),
    redirectUris: text('redirect_uris'),
    origins: text('origins'),
    confidential: text('type') === 'confidential',
    lifetime: text('lifetime'),
    grantLifetime: text('grant_lifetime').trim(),
    allow: text('allow'),
    requestsPerMinute: text('requests_per_minute'),
    requestsPerDay: text('requests_per_day'),
    options: mapOptions((name, option) => readOption(option, text(name))) as AppOptions,
  }
}

function formOfApp(app: App): AppForm {
  const asDefault = sameList(app.origins, defaultOrigins(app))
  return {
    name: app.name,
    redirectUris: app.redirectUris.join('\n'),
    origins: asDefault ? '' : app.origins.join('\n'),
    confidential: app.confidential,
    lifetime: formatDuration(app.tokenLifetimeSeconds),
    grantLifetime: formatLimit(app.grantLifetimeSeconds),
    allow: app.allow.join('\n'),
    requestsPerMinute: String(app.requestsPerMinute ?? ''),
    requestsPerDay: String(app.requestsPerDay ?? ''),
    options: app,
  }
}

/** Settings that the form has. */
type FormSettings = Omit<AppSettings, 'jwks' | 'jwksUri'> & { origins: string[] }

/** @throws BrokerError `invalid_request` for an invalid lifetime or number */
function settingsOf(form: AppForm): FormSettings {
  const { confidential, options } = form
  const [redirectUris, origins] = [linesOf(form.redirectUris), linesOf(form.origins)]
  return {
    name: form.name.trim(),
    redirectUris,
    origins: origins.length > 0 ? origins : defaultOrigins({ confidential, redirectUris }),
    confidential,
    ...(mapOptions((name) => options[name]) as AppOptions),
    allow: linesOf(form.allow),
    requestsPerMinute: parseRequestLimit(form.requestsPerMinute),
    requestsPerDay: parseRequestLimit(form.requestsPerDay),
    tokenLifetimeSeconds: parseDuration(form.lifetime),
    ...(form.grantLifetime !== '' && { grantLifetimeSeconds: parseLimit(form.grantLifetime) }),
  }
}

/** What differs: the event names it. */
function changesOf(before: App, after: FormSettings): Partial<AppSettings> {
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
