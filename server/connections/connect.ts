import { LRUCache } from 'lru-cache'
import { associatedData } from '../../db/associated-data.ts'
import type { App, Flow, Millis, Store } from '../../db/store.ts'
import type { EllipsisClient, Tokens } from '../ellipsis/client.ts'
import { BrokerError } from '../errors.ts'
import { Secret } from '../secret.ts'
import { checkAuthorization } from '../oauth/authorize.ts'
import type { AuthorizationRequest } from '../oauth/authorize.ts'
import type { Parameters } from '../oauth/parameters.ts'
import type { Clock, Random } from '../runtime.ts'
import type { DeviceFlow } from '../oauth/device-flow.ts'
import { upstreamError } from '../refresh/failure-policy.ts'
import { newSecret, sha256 } from '../crypto/hash.ts'
import type { StoreConnection } from './store-connection.ts'
import { findRedirectUri, isClaimable, withResponse } from '../oauth/redirect-uri.ts'
import type { Vault } from '../crypto/vault.ts'

/** A stored flow, for the redirect to Ellipsis Drive. */
interface StartedFlow {
  /** URL of Ellipsis Drive's authorization page. */
  location: string
  state: string
  /** For the cookie that binds the flow to this browser. */
  browserSecret: Secret
}

/** The parameters of Ellipsis Drive's redirect to `/callback` (RFC 6749 4.1.2). */
export interface Callback {
  /** `null`: an error without a state, which ends the only flow of this browser. */
  state: string | null
  /** From the cookies: that of this state; without a state, those of all flows. */
  browserSecrets: Secret[]
  code: Secret | undefined
  /** Ellipsis Drive's error code. */
  error: string | undefined
  address: string
  /** The secret of the cookie that recognises this browser when it connects again. */
  browser: Secret
}

/** How a connect flow ends: with a redirect to the app, or on a page of the broker. */
type ConnectResult =
  | { kind: 'redirect'; location: string }
  | ({ kind: 'connected'; username: string; isAnother: boolean } & PageDetails)
  | ({ kind: 'refused' } & PageDetails)

interface PageDetails {
  appName: string
  /** The app's redirect URI; `null`: it has none. */
  backTo: string | null
  /** The user continues on the device that is waiting. */
  onDevice: boolean
}

/** The connect flow, from the consent page to the app's code. */
export interface Connect {
  /** Checks an authorization request: see `checkAuthorization`. */
  check(parameters: Parameters, plain: boolean): Promise<AuthorizationRequest>
  /** Is the consent page needed? Not for trusted apps, unless another app could claim the redirect URI. */
  mustAsk(request: AuthorizationRequest): boolean
  /** Stores a flow for this browser. @param device a label for people */
  begin(request: AuthorizationRequest, device: string): Promise<StartedFlow>
  /**
   * Consumes the flow, exchanges the code, and stores the connection before the browser is redirected.
   * Repeats the result if the same callback comes again, for ten minutes.
   * @throws BrokerError; with `returnTo` if the error goes to the app
   */
  finish(callback: Callback): Promise<ConnectResult>
}

const FLOW_LIFETIME_MS = 10 * 60_000
const MAX_RESULTS = 10_000

export function createConnect(dependencies: {
  store: Store
  vault: Vault
  ellipsis: EllipsisClient
  storeConnection: StoreConnection
  clock: Clock
  random: Random
  deviceFlow: DeviceFlow
  publicUrl: string
}): Connect {
  const { store, vault, ellipsis, storeConnection, clock, random, deviceFlow, publicUrl } =
    dependencies

  /** Consumes the flow if state and cookie match; otherwise nothing changes. */
  const takeFlow = async ({ state, browserSecrets }: Callback): Promise<Flow> => {
    const stateHash = state === null ? null : sha256(state)
    const browserHashes = browserSecrets.map((secret) => sha256(secret.reveal()))
    const flow = await store.takeFlow({ stateHash, browserHashes, now: clock.now() })
    if (flow) return flow
    if (state === null) throw withoutState()
    const description =
      'This attempt to connect has expired, is already complete, or was started in another browser. Go back to the app and connect again.'
    throw new BrokerError('invalid_request', { description })
  }

  /** The flow's app as it is now. @throws BrokerError if the flow's redirect URI is no longer registered */
  const getApp = async ({ appId, redirectUri }: Flow): Promise<App> => {
    const app = await store.getApp(appId)
    if (!app) {
      throw new BrokerError('invalid_request', { description: 'This app has been removed.' })
    }
    if (redirectUri === '' || findRedirectUri(app.redirectUris, redirectUri)) return app
    const description =
      'This app has removed the address that you would return to. Go back to the app and connect again.'
    throw new BrokerError('invalid_request', { description })
  }

  const exchangeCode = async (flow: Flow, code: Secret | undefined) => {
    if (!code) {
      const description = `Ellipsis Drive sent neither a code nor an error. ${TRY_AGAIN}`
      throw new BrokerError('server_error', { description })
    }
    const verifier = vault.open(associatedData.flowVerifier(flow.stateHash), flow.verifier)
    return ellipsis.exchangeCode({ code, verifier })
  }

  /** While the user signs in, the device's code may expire or be answered by someone else. */
  const checkDevice = async ({ deviceCodeHash }: Flow): Promise<void> => {
    if (deviceCodeHash !== null && !(await deviceFlow.isPending(deviceCodeHash)))
      throw deviceCodeExpired()
  }

  const approveDevice = async (
    flow: Flow,
    { address }: Callback,
    connectionId: string,
  ): Promise<void> => {
    const { deviceCodeHash, appId, device } = flow
    if (deviceCodeHash === null) return
    const answer = { deviceCodeHash, appId, device, address }
    if (!(await deviceFlow.approve({ ...answer, connectionId }))) throw deviceCodeExpired()
  }

  const denyDevice = async ({ deviceCodeHash }: Flow): Promise<void> => {
    if (deviceCodeHash !== null) await deviceFlow.deny({ deviceCodeHash })
  }

  const complete = async (flow: Flow, app: App, callback: Callback): Promise<ConnectResult> => {
    const fragment = app.deliver === 'fragment'
    const returnsToApp = fragment ? flow.appState !== null : flow.challenge !== null
    const { redirectUri, appState: state } = flow
    const common = { state, iss: publicUrl }
    const onDevice = flow.deviceCodeHash !== null
    const details = { appName: app.name, backTo: redirectUri === '' ? null : redirectUri, onDevice }
    try {
      if (callback.error !== undefined) throw upstreamDenial(callback.error)
      await checkDevice(flow)
      const tokens = await exchangeCode(flow, callback.code)
      const { address, browser } = callback
      const isUsed = returnsToApp || onDevice
      const stored = await storeConnection({ flow, tokens, isUsed, address, browser })
      const { id, username, code, isAnother } = stored
      await approveDevice(flow, callback, id)
      if (!returnsToApp) return { kind: 'connected', username, isAnother, ...details }
      const answer = fragment ? fragmentParameters(tokens, clock.now()) : { code: code?.reveal() }
      const location = withResponse(redirectUri, { ...answer, ...common }, fragment)
      return { kind: 'redirect', location }
    } catch (error) {
      const denied = error instanceof BrokerError && error.code === 'access_denied'
      if (denied) await denyDevice(flow)
      if (denied && !returnsToApp) return { kind: 'refused', ...details }
      throw returnsToApp
        ? withReturnTo({ redirectUri, state, fragment }, error)
        : toBrokerError(error)
    }
  }

  /** Results of callbacks, as a browser may repeat one: a reload, or a navigation that was aborted. */
  const results = new LRUCache<string, { result: Promise<ConnectResult>; expiresAt: Millis }>({
    max: MAX_RESULTS,
  })

  /** @param unknown called if this browser has no such flow, so that nothing can be repeated */
  const finishOnce = async (callback: Callback, unknown: () => void): Promise<ConnectResult> => {
    const flow = await takeFlow(callback).catch((error: unknown) => {
      unknown()
      throw error
    })
    const app = await getApp(flow)
    try {
      return await complete(flow, app, callback)
    } finally {
      // Ellipsis Drive took a while: nothing goes to an address that the app has given up since.
      await getApp(flow)
    }
  }

  return {
    check: (parameters, plain) => checkAuthorization(store, parameters, plain),

    mustAsk: ({ app, redirectUri }) => !app.trusted || isClaimable(redirectUri),

    async begin(request, device) {
      const [state, verifier, browserSecret] = [random, random, random].map(newSecret) as Three
      const stateHash = sha256(state)
      await store.addFlow({
        stateHash,
        browserHash: sha256(browserSecret),
        verifier: vault.seal(associatedData.flowVerifier(stateHash), new Secret(verifier)),
        appId: request.app.id,
        redirectUri: request.redirectUri,
        appState: request.state,
        challenge: request.challenge,
        jkt: request.jkt,
        scope: request.scope,
        reconnect: request.reconnect,
        device,
        deviceCodeHash: request.deviceCodeHash,
        createdAt: clock.now(),
        expiresAt: clock.now() + FLOW_LIFETIME_MS,
      })
      const location = ellipsis.authorizationUrl({ state, challenge: sha256(verifier) })
      return { location, state, browserSecret: new Secret(browserSecret) }
    },

    finish(callback) {
      const { state, browserSecrets } = callback
      const secrets = browserSecrets.map((secret) => secret.reveal()).sort()
      const key = sha256([state ?? '', ...secrets].join('\n'))
      const former = results.get(key)
      if (former && former.expiresAt > clock.now()) return former.result
      const result = finishOnce(callback, () => results.delete(key))
      results.set(key, { result, expiresAt: clock.now() + FLOW_LIFETIME_MS })
      return result
    },
  }
}

type Three = [string, string, string]

const withoutState = (): BrokerError =>
  new BrokerError('invalid_request', {
    description:
      'The redirect from Ellipsis Drive has no state. Go back to the app and connect again.',
  })

/** Fragment delivery: Ellipsis Drive's access token itself, for an app without a back end. */
const fragmentParameters = (tokens: Tokens, now: number) => ({
  access_token: tokens.accessToken.reveal(),
  token_type: 'Bearer',
  expires_in: Math.max(0, Math.floor((tokens.expiresAt - now) / 1000)),
})

/** The error for the app when Ellipsis Drive denied the authorization (RFC 6749 4.1.2.1). */
function upstreamDenial(error: string): BrokerError {
  if (error === 'access_denied') return new BrokerError('access_denied')
  const cause = new Error(`Ellipsis Drive answered its authorization with ${error.slice(0, 60)}`)
  if (error === 'temporarily_unavailable') {
    const description =
      'Ellipsis Drive is busy or down. Go back to the app and connect again in a few minutes.'
    return new BrokerError('temporarily_unavailable', { cause, description })
  }
  const description = REFUSED_REQUEST_ERRORS.includes(error)
    ? `Ellipsis Drive does not accept the requests of this broker (${error}). Tell the host of this broker.`
    : `Ellipsis Drive could not complete the authorization${error === 'server_error' ? ' (server_error)' : ''}. ${TRY_AGAIN}`
  return new BrokerError('server_error', { cause, description })
}

/** Errors of RFC 6749 4.1.2.1 that say that the broker's request or registration is wrong. */
const REFUSED_REQUEST_ERRORS = [
  'invalid_request',
  'invalid_scope',
  'unauthorized_client',
  'unsupported_response_type',
]

const TRY_AGAIN =
  'Go back to the app and connect again later; if it happens again, tell the host of this broker.'

const deviceCodeExpired = (): BrokerError =>
  new BrokerError('invalid_request', {
    description:
      'The code of your device has expired. Start again on the device, and enter the new code.',
  })

function toBrokerError(error: unknown): BrokerError {
  if (error instanceof BrokerError) return error
  return upstreamError(error)
}

function withReturnTo(returnTo: NonNullable<BrokerError['details']['returnTo']>, error: unknown) {
  const { code, details } = toBrokerError(error)
  return new BrokerError(code, { ...details, cause: details.cause ?? error, returnTo })
}
