import { associatedData } from '../../db/associated-data.ts'
import type { App, Flow, Store } from '../../db/store.ts'
import type { EllipsisClient, Tokens } from '../ellipsis/client.ts'
import { BrokerError } from '../errors.ts'
import { Secret } from '../secret.ts'
import { checkAuthorization } from '../oauth/authorize.ts'
import type { AuthorizationRequest, Parameters } from '../oauth/authorize.ts'
import type { Clock, Random } from '../runtime.ts'
import type { DeviceFlow } from '../oauth/device-flow.ts'
import { upstreamError } from '../refresh/failure-policy.ts'
import { newSecret, sha256 } from '../crypto/hash.ts'
import type { StoreConnection } from './store-connection.ts'
import { findRedirectUri, isClaimable, withAnswer } from '../oauth/redirect-uri.ts'
import type { Vault } from '../crypto/vault.ts'

/** What the browser takes along to Ellipsis Drive. */
export interface StartedFlow {
  /** Ellipsis Drive's authorization page. */
  location: string
  state: string
  /** Value of the cookie that binds the flow to this browser. */
  browserSecret: Secret
}

/** What Ellipsis Drive sent the browser back with (RFC 6749 4.1.2). */
export interface Callback {
  state: string
  /** Of the cookie; `undefined`: this browser has none for that state. */
  browserSecret: Secret | undefined
  code: Secret | undefined
  /** Ellipsis Drive's error code. */
  error: string | undefined
  address: string
}

/** How a connect flow ends: back at the app, or on a page of the broker's own. */
export type Finished =
  | { kind: 'redirect'; location: string }
  | ({ kind: 'connected'; username: string; isAnother: boolean } & CommandError)
  | ({ kind: 'refused' } & CommandError)

interface CommandError {
  appName: string
  /** `null`: the app has no address. */
  backTo: string | null
  /** It goes on at the device that waits. */
  onDevice: boolean
}

/** The connect flow, from the answer on the asking page to the app's code. */
export interface Connect {
  /** Checks a request for authorization: see `checkAuthorization`. */
  check(parameters: Parameters, plain: boolean): Promise<AuthorizationRequest>
  /** Must a person be asked first? All but the host's own apps, where nobody else can get the answer. */
  mustAsk(request: AuthorizationRequest): boolean
  /** Stores a flow for this browser. `device`: a label for people. */
  begin(request: AuthorizationRequest, device: string): Promise<StartedFlow>
  /**
   * Takes the flow, once; exchanges the code, stores the connection, and only then lets the browser go on.
   * @throws BrokerError with `returnTo` where the app is to be told
   */
  finish(callback: Callback): Promise<Finished>
}

/** Life of a flow, milliseconds. */
const FLOW_LIFE = 10 * 60_000

export function createConnect(needs: {
  store: Store
  vault: Vault
  ellipsis: EllipsisClient
  keep: StoreConnection
  clock: Clock
  random: Random
  deviceFlow: DeviceFlow
  publicUrl: string
}): Connect {
  const { store, vault, ellipsis, keep, clock, random, deviceFlow, publicUrl } = needs
  /** The flow, if state and cookie are of one browser; otherwise nothing has changed. */
  const take = async ({ state, browserSecret }: Callback): Promise<Flow> => {
    const stateHash = sha256(state)
    const browserHash = browserSecret && sha256(browserSecret.reveal())
    const flow = browserHash && (await store.takeFlow({ stateHash, browserHash, now: clock.now() }))
    if (flow) return flow
    const description =
      'This attempt to connect has ended, was finished before, or began in another browser. Go back to the app and connect again.'
    throw new BrokerError('invalid_request', { description })
  }

  /** The flow's app as it is now; it may have given up the address that the flow returns to. */
  const appOf = async ({ appId, redirectUri }: Flow): Promise<App> => {
    const app = await store.getApp(appId)
    if (!app) {
      throw new BrokerError('invalid_request', { description: 'This app has been removed.' })
    }
    if (redirectUri === '' || findRedirectUri(app.redirectUris, redirectUri)) return app
    const description =
      'The address to return to is no longer one that this app has registered. Go back to the app and connect again.'
    throw new BrokerError('invalid_request', { description })
  }

  const exchange = async (flow: Flow, code: Secret | undefined) => {
    if (!code) {
      throw new BrokerError('server_error', { description: 'Ellipsis Drive sent no code back.' })
    }
    const verifier = vault.open(associatedData.flowVerifier(flow.stateHash), flow.verifier)
    const tokens = await ellipsis.exchangeCode({ code, verifier })
    const { refreshToken } = tokens
    if (refreshToken) return { ...tokens, refreshToken }
    const cause = new Error('Ellipsis Drive gave no refresh token for an authorization code')
    throw new BrokerError('server_error', { cause })
  }

  /** The device's own wait ends while somebody signs in, or somebody else answers it. */
  const checkDevice = async ({ deviceCodeHash }: Flow): Promise<void> => {
    if (deviceCodeHash !== null && !(await deviceFlow.isPending(deviceCodeHash))) throw tooLate()
  }

  const letIn = async (flow: Flow, { address }: Callback, connectionId: string): Promise<void> => {
    const { deviceCodeHash, appId, device } = flow
    if (deviceCodeHash === null) return
    const answer = { deviceCodeHash, appId, device, address }
    if (!(await deviceFlow.approve({ ...answer, connectionId }))) throw tooLate()
  }

  /** No, said at Ellipsis Drive. */
  const turnAway = async ({ deviceCodeHash }: Flow): Promise<void> => {
    if (deviceCodeHash !== null) await deviceFlow.deny({ deviceCodeHash })
  }

  const complete = async (flow: Flow, app: App, callback: Callback): Promise<Finished> => {
    const fragment = app.deliver === 'fragment'
    const issues = fragment ? flow.appState !== null : flow.challenge !== null
    const { redirectUri, appState: state } = flow
    const common = { state, iss: publicUrl }
    const onDevice = flow.deviceCodeHash !== null
    const ended = { appName: app.name, backTo: redirectUri === '' ? null : redirectUri, onDevice }
    try {
      if (callback.error !== undefined) throw refused(callback.error)
      await checkDevice(flow)
      const tokens = await exchange(flow, callback.code)
      const { address } = callback
      const kept = await keep({ flow, tokens, isUsed: issues || onDevice, address })
      const { id, username, code, isAnother } = kept
      await letIn(flow, callback, id)
      if (!issues) return { kind: 'connected', username, isAnother, ...ended }
      const answer = fragment ? inFragment(tokens, clock.now()) : { code: code?.reveal() }
      const location = withAnswer(redirectUri, { ...answer, ...common }, fragment)
      return { kind: 'redirect', location }
    } catch (error) {
      const denied = error instanceof BrokerError && error.code === 'access_denied'
      if (denied) await turnAway(flow)
      if (denied && !issues) return { kind: 'refused', ...ended }
      throw issues ? toldTo({ redirectUri, state, fragment }, error) : publicly(error)
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
        expiresAt: clock.now() + FLOW_LIFE,
      })
      const location = ellipsis.authorizationUrl({ state, challenge: sha256(verifier) })
      return { location, state, browserSecret: new Secret(browserSecret) }
    },

    async finish(callback) {
      const flow = await take(callback)
      const app = await appOf(flow)
      try {
        return await complete(flow, app, callback)
      } finally {
        // Ellipsis Drive took a while: nothing goes to an address that the app has given up since.
        await appOf(flow)
      }
    },
  }
}

type Three = [string, string, string]

/** Fragment delivery: Ellipsis Drive's access token itself, for a page without a back end. */
const inFragment = (tokens: Tokens, now: number) => ({
  access_token: tokens.accessToken.reveal(),
  token_type: 'Bearer',
  expires_in: Math.max(0, Math.floor((tokens.expiresAt - now) / 1000)),
})

/** What Ellipsis Drive's own refusal means to an app (RFC 6749 4.1.2.1). */
function refused(error: string): BrokerError {
  if (error === 'access_denied') return new BrokerError('access_denied')
  if (error === 'temporarily_unavailable') return new BrokerError('temporarily_unavailable')
  const cause = new Error(`Ellipsis Drive answered its authorization with ${error.slice(0, 60)}`)
  return new BrokerError('server_error', { cause })
}

const tooLate = (): BrokerError =>
  new BrokerError('invalid_request', {
    description: 'The code of your device has ended. Begin anew there, and type the new code.',
  })

function publicly(error: unknown): BrokerError {
  if (error instanceof BrokerError) return error
  return upstreamError(error)
}

function toldTo(returnTo: NonNullable<BrokerError['details']['returnTo']>, error: unknown) {
  const { code, details } = publicly(error)
  return new BrokerError(code, { ...details, cause: details.cause ?? error, returnTo })
}
