import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { RefusedRedirect, ReturnAddress } from '../../errors.ts'
import { redact } from '../../log.ts'
import { addOriginCommand, addRedirectUriCommand } from '../../oauth/app-commands.ts'
import { originProblem } from '../../oauth/redirect-uri.ts'
import type { HttpServices } from '../../services.ts'
import { claimedClientId, claimedRedirectUri } from './claims.ts'

declare module 'fastify' {
  interface FastifyInstance {
    refusals: Refusals
  }
  interface FastifyRequest {
    /** Why the route shows a form again with an error status: one word for the log. */
    refusalReason: string | null
    /** The refusal of this request is in the log, or counted as a repetition. */
    isRefusalLogged: boolean
  }
}

/** What the log says about a request that is refused. */
interface Refusal {
  /** A stable word, such as `client_secret_mismatch`. Never text that a client chose. */
  reason: string
  /** The HTTP status that is sent. */
  status: number
  /** The OAuth error code that is sent. */
  error?: string
  appId?: string | undefined
  returnTo?: ReturnAddress | undefined
  refusedRedirect?: RefusedRedirect | undefined
}

/** Logs each refused request once. Repetitions within a minute are summarised, see `SummarizingLog`. */
interface Refusals {
  /** Repetitions have the same reason, app, endpoint and address. */
  log(request: FastifyRequest, refusal: Refusal): Promise<void>
  /** Logs that pages of this origin may not read answers. Repetitions have the same origin. */
  logOrigin(request: FastifyRequest, origin: string): void
  /** The fields that describe a request, also for failures of the broker. */
  describe(request: FastifyRequest, refusal: Pick<Refusal, 'appId' | 'returnTo'>): Promise<Facts>
}

interface Facts {
  method: string
  /** The route, without values. */
  path: string
  app?: string
  app_name?: string
  redirect_host?: string
  address: string
}

export const ORIGIN_NOT_REGISTERED = 'origin_not_registered'
const APP_ID = /^app_[A-Za-z0-9_-]{22}$/
const MAX_TEXT_LENGTH_CHARS = 500
/** The route of every path that no other route has. */
const NO_ROUTE = '/*'
/** A segment that may be logged: it is too short and too plain for a token, a user code or a passphrase. */
const PLAIN_SEGMENT = /^[a-z._-]{0,20}\d{0,2}$/
const MAX_SEGMENTS = 8

export function logRefusals(app: FastifyInstance, { apps, summarizingLog, log }: HttpServices) {
  const findApp = async (id: string) => {
    const found = id === '' ? undefined : await apps.find(id).catch(() => undefined)
    if (found) return { app: found.id, app_name: found.name }
    // An id from another database is worth reading; any other text may be a secret.
    return APP_ID.test(id) ? { app: id } : {}
  }

  const describe: Refusals['describe'] = async (request, { appId, returnTo }) => {
    const host = hostOf(returnTo?.redirectUri ?? claimedRedirectUri(request))
    return {
      ...routeOf(request),
      ...(await findApp(appId ?? claimedClientId(request))),
      ...(host !== null && { redirect_host: host }),
      address: request.ip,
    }
  }

  app.decorateRequest('refusalReason', null)
  app.decorateRequest('isRefusalLogged', false)
  app.decorate('refusals', {
    describe,

    async log(request, refusal) {
      request.isRefusalLogged = true
      const { reason, status, error, refusedRedirect } = refusal
      const facts = await describe(request, refusal)
      const isKnown = facts.app_name !== undefined
      const isFirst = summarizingLog.write({
        level: 'info',
        message: 'request refused',
        kind: `${reason} ${isKnown ? facts.app : ''} ${facts.method} ${facts.path}`,
        source: request.ip,
        request: request.id,
        summary: { reason, ...(error !== undefined && { error }), status, ...facts },
        detail: {
          ...(facts.path === NO_ROUTE && { path: describePath(request.url) }),
          ...(refusedRedirect && explainRedirect(refusedRedirect)),
        },
      })
      if (!isFirst) log.debug({ request: request.id, reason, status }, 'request refused again')
    },

    logOrigin(request, origin) {
      request.isRefusalLogged = true
      const isOrigin = originProblem(origin) === null
      summarizingLog.write({
        level: 'info',
        message: 'CORS refused an origin that no app has registered',
        kind: ORIGIN_NOT_REGISTERED,
        source: origin.slice(0, MAX_TEXT_LENGTH_CHARS),
        request: request.id,
        summary: {
          reason: ORIGIN_NOT_REGISTERED,
          origin: origin.slice(0, MAX_TEXT_LENGTH_CHARS),
          ...routeOf(request),
          address: request.ip,
        },
        detail: isOrigin ? { fix: addOriginCommand(origin) } : {},
      })
    },
  })
}

const routeOf = ({ method, routeOptions }: FastifyRequest) => ({
  method,
  path: routeOptions.url ?? '(none)',
})

/** The path of a URL without a route, as far as it is plain words: `…` stands for everything else. */
function describePath(url: string): string {
  const segments = url.replace(/[?#].*$/s, '').split('/')
  const shown = segments.map((segment) => (PLAIN_SEGMENT.test(segment) ? segment : '…'))
  return shown.slice(0, MAX_SEGMENTS).join('/')
}

/** The host of a URI, or the scheme of a URI without one. */
function hostOf(uri: string): string | null {
  const url = URL.parse(uri)
  return url && (url.host || url.protocol).slice(0, MAX_TEXT_LENGTH_CHARS)
}

function explainRedirect({ appId, sent, problem, similar }: RefusedRedirect): object {
  const shown = redactPath(sent.slice(0, MAX_TEXT_LENGTH_CHARS))
  return {
    redirect_uri: shown,
    similar,
    ...(problem !== null && { problem }),
    ...(problem === null && shown === sent && { fix: addRedirectUriCommand(appId, sent) }),
  }
}

/** Removes what may be a token from a URI, except from its host: names of hosts are long, too. */
function redactPath(uri: string): string {
  const [origin = ''] = /^[a-z][a-z0-9+.-]*:\/\/[^/?#@]*(?=[/?#]|$)/i.exec(uri) ?? []
  return origin + redact(uri.slice(origin.length))
}
