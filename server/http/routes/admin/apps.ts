import type { FastifyPluginAsync } from 'fastify'
import type { App } from '../../../../db/store.ts'
import type { AdminModels, AppRow, SecretView } from '../../../../views/admin/models.ts'
import { describeOptions } from '../../../oauth/app-options.ts'
import { budgetText, formatCount, formatNumber } from './format.ts'
import { isBrowserApp } from '../../../oauth/app-settings.ts'
import { readJwks } from '../../../oauth/client-jwks.ts'
import { validSecrets } from '../../../oauth/apps.ts'
import { formatDuration, formatLimit } from '../../../oauth/duration.ts'
import type { HttpServices } from '../../../services.ts'
import { createSnippets } from '../../snippets/snippets.ts'
import { attentionView, countsView } from './overview.ts'
import { readPeriod, usageView } from './usage-view.ts'

/** The list of apps, and the page of one app with code samples. */
export const appsRoutes: FastifyPluginAsync<{ services: HttpServices }> = async (
  app,
  { services },
) => {
  const { apps, overview, driveBudget, webhooks } = services

  app.get('/apps', async (_request, reply) => {
    const [all, users] = await Promise.all([apps.list(), apps.countUsersByApp()])
    const rows = all.map((one) => rowOf(one, users.get(one.id) ?? 0))
    return reply.show('admin/apps', { rows: rows.sort((a, b) => a.name.localeCompare(b.name)) })
  })

  app.get('/apps/:appId', async (request, reply) => {
    const one = await apps.find((request.params as { appId: string }).appId)
    if (!one) return reply.missing('This app does not exist or was removed.')
    const page = services.config.basePath + pathOf(one.id)
    const list = `${services.config.basePath}/admin/users`
    const attention = await overview.attentionOf(one)
    const endpoints = (await webhooks.list()).filter(({ appId }) => appId === one.id)
    return reply.show('admin/app', {
      ...modelOf(one, services),
      webhooks: endpoints.length === 0 ? 'none' : formatCount(endpoints.length, 'endpoint'),
      budgets: (await driveBudget.use(one)).map(budgetText),
      counts: countsView(await overview.counts(one.id), list, one.id),
      attention: attention.map((each) => attentionView(each, one.id)),
      usage: await usageView(services, page, readPeriod(request.query), one.id),
    })
  })
}

export const pathOf = (id: string): `/admin/apps/${string}` =>
  `/admin/apps/${encodeURIComponent(id)}`

const kindOf = ({ confidential }: App): string => (confidential ? 'Confidential' : 'Public')

/** What the list and the page both show of an app. */
const briefOf = (app: App) => ({
  name: app.name,
  kind: kindOf(app),
  createdAt: app.createdAt,
})

const rowOf = (app: App, users: number): AppRow => ({
  ...briefOf(app),
  href: pathOf(app.id),
  badges: describeOptions(app).flatMap(({ badge }) => badge ?? []),
  users: formatNumber(users),
  usersHref: `/admin/users?app=${encodeURIComponent(app.id)}`,
})

function modelOf(
  app: App,
  { config, clock }: HttpServices,
): Omit<AdminModels['admin/app'], 'counts' | 'attention' | 'usage' | 'budgets' | 'webhooks'> {
  return {
    ...briefOf(app),
    path: pathOf(app.id),
    clientId: app.id,
    redirectUris: app.redirectUris,
    origins: app.origins,
    lifetime: formatDuration(app.tokenLifetimeSeconds),
    grantLifetime: formatLimit(app.grantLifetimeSeconds),
    grantLifetimeAdvised: app.grantLifetimeSeconds === null && isBrowserApp(app),
    fragment: app.deliver === 'fragment',
    allow: app.allow,
    settings: [
      ...describeOptions(app).map(({ title, summary, isDefault }) => ({
        title,
        summary,
        isDefault,
      })),
      requestLimit('Requests per minute', app.requestsPerMinute),
      requestLimit('Requests per day', app.requestsPerDay),
    ],
    keys: describeKeys(app),
    secrets: app.confidential ? secretsOf(app, clock.now()) : null,
    metadata: `${config.publicUrl}/.well-known/openid-configuration`,
    connectLink: connectLinkOf(app, config.publicUrl),
    snippets: createSnippets(app, config.publicUrl).map(({ language, code }, index) => ({
      id: `code-${index}`,
      language,
      code,
    })),
  }
}

/** `null`: it gives the app nothing. A back end needs a code, which its server asks for. */
const connectLinkOf = (
  { id, confidential, redirectUris }: App,
  publicUrl: string,
): string | null =>
  confidential || redirectUris.length === 0 ? null : `${publicUrl}/connect/${id}`

const requestLimit = (title: string, limit: number | null) => ({
  title,
  summary: limit === null ? 'off' : formatNumber(limit),
  isDefault: limit === null,
})

function describeKeys({ jwks, jwksUri }: App): string | null {
  if (jwksUri !== null) return `published at ${jwksUri}`
  if (jwks === null) return null
  const ids = readJwks(jwks).keys.map(({ kid }, index) => kid ?? `key ${index + 1}, without an id`)
  return ids.join(', ')
}

const secretsOf = (app: App, now: number): SecretView[] =>
  validSecrets(app, now)
    .map(({ createdAt, expiresAt }) => ({ createdAt, expiresAt }))
    .reverse()
