import type { App, Hash, Store } from '../../db/store.ts'
import { BrokerError } from '../errors.ts'
import { checkParameters, fail, single } from './authorization-parameters.ts'
import type { CheckedParameters, RequestKind } from './authorization-parameters.ts'
import type { Parameters } from './parameters.ts'
import { explainRefusedRedirect, findRedirectUri } from './redirect-uri.ts'

/** A valid authorization request (RFC 6749 4.1.1, RFC 7636 4.3). */
export interface AuthorizationRequest extends CheckedParameters {
  app: App
  /** Empty on a plain connect link of an app without redirect URIs: the user returns nowhere. */
  redirectUri: string
  /** The app's own state. */
  state: string | null
  /** Of the pushed request, which leads to one code at most; `null`: it was not pushed. */
  pushedHash: Hash | null
  /** The device code that the user is answering. */
  deviceCodeHash: Hash | null
  /** Languages for the pages (OpenID Connect Core 3.1.2.1), as sent; `null`: none. */
  uiLocales: string | null
}

/**
 * Checks an authorization request. App and redirect URI come first: while one of them is wrong, the browser
 * is not redirected.
 * Nothing here is secret, so nothing is guessed: another site may send its visitors here with any parameters.
 * @throws BrokerError without `returnTo` (show a page), or with it (redirect to the app)
 */
export async function checkAuthorization(
  store: Store,
  parameters: Parameters,
  kind: RequestKind,
): Promise<AuthorizationRequest> {
  try {
    return await readAuthorization(store, parameters, kind)
  } catch (error) {
    if (!(error instanceof BrokerError)) throw error
    throw new BrokerError(error.code, { ...error.details, isGuess: false })
  }
}

async function readAuthorization(
  store: Store,
  parameters: Parameters,
  kind: RequestKind,
): Promise<AuthorizationRequest> {
  const app = await findApp(store, parameters)
  const redirectUri = returnsNowhere(app, parameters, kind === 'link')
    ? ''
    : checkRedirectUri(app, parameters)
  const state = single(parameters.state) ?? null
  const fragment = app.deliver === 'fragment'
  const returnTo = redirectUri === '' ? undefined : { redirectUri, state, fragment }
  return {
    ...{ app, redirectUri, state },
    ...checkParameters(app, parameters, kind, { state, returnTo }),
    pushedHash: null,
    deviceCodeHash: null,
    uiLocales: single(parameters.ui_locales) ?? null,
  }
}

async function findApp(store: Store, { client_id: id }: Parameters): Promise<App> {
  if (typeof id !== 'string')
    fail('invalid_request', 'client_id_missing', 'Send client_id once: the id of the app.')
  const app = await store.getApp(id)
  if (app) return app
  throw new BrokerError('invalid_request', {
    reason: 'unknown_client',
    description:
      'The app that sent you here is not registered at this broker. Go back to the app and tell its developer.',
  })
}

/** A device app has no redirect URI: its connect or reconnect link ends at the broker. */
const returnsNowhere = (app: App, parameters: Parameters, isConnectLink: boolean): boolean =>
  isConnectLink &&
  app.redirectUris.length === 0 &&
  parameters.redirect_uri === undefined &&
  parameters.code_challenge === undefined

function checkRedirectUri(app: App, { redirect_uri: requested }: Parameters): string {
  const onlyUri = app.redirectUris.length === 1 ? app.redirectUris[0] : undefined
  const uri = requested === undefined ? onlyUri : single(requested)
  const found = uri === undefined ? undefined : findRedirectUri(app.redirectUris, uri)
  if (found !== undefined) return found
  if (uri === undefined) {
    const description =
      'Send redirect_uri once: it may be omitted only if the app has exactly one registered.'
    fail('invalid_request', 'redirect_uri_missing', description)
  }
  throw new BrokerError('invalid_request', {
    reason: 'redirect_uri_mismatch',
    description:
      'The app asked the broker to send you to an address that is not registered for it. Go back to the app and tell its developer.',
    refusedRedirect: explainRefusedRedirect(app, uri),
  })
}
