import type { AccessPolicy, App, Store } from '../../db/store.ts'
import { networkOf } from '../addresses.ts'
import type { EllipsisClient, Tokens } from '../ellipsis/client.ts'
import { BrokerError } from '../errors.ts'
import { Secret } from '../secret.ts'
import { checkAuthorization } from '../oauth/authorize.ts'
import type { AuthorizationRequest } from '../oauth/authorize.ts'
import type { AppSessions } from '../oauth/app-sessions.ts'
import type { Parameters } from '../oauth/parameters.ts'
import type { Clock, Random } from '../runtime.ts'
import type { DeviceFlow } from '../oauth/device-flow.ts'
import { issuesCode } from '../oauth/authorization-code.ts'
import type { Log } from '../log.ts'
import { newSecret, sha256 } from '../crypto/hash.ts'
import { callbackKey, createCallbackResults } from './callback-results.ts'
import {
  appRemoved,
  codeRejected,
  deviceCodeExpired,
  isRejection,
  noAnswer,
  policyChanged,
  redirectUriRemoved,
  sessionOptionChanged,
  unknownFlow,
  upstreamDenial,
  withDetails,
} from './connect-errors.ts'
import { checkTokenAccess, hashOfPolicy, policyOf } from '../oauth/access-policy.ts'
import { sealFlow } from './flow.ts'
import type { Flow, FlowCookie } from './flow.ts'
import { createFindFlow } from './pending-flows.ts'
import type { StoreConnection } from './store-connection.ts'
import type { UpstreamBudget } from './upstream-budget.ts'
import { findRedirectUri, isClaimable, withResponse } from '../oauth/redirect-uri.ts'
import type { Vault } from '../crypto/vault.ts'

/** A flow that begins, for the redirect to Ellipsis Drive. */
interface StartedFlow {
  /** URL of Ellipsis Drive's authorization page. */
  location: string
  /** The browser keeps the flow, which binds the flow to it. */
  cookie: FlowCookie
}

/** The parameters of Ellipsis Drive's redirect to `/callback` (RFC 6749 4.1.2). */
export interface Callback {
  /** `null`: an error without a state, which ends the only flow of this browser. */
  state: string | null
  /** The browser's cookie of this state; without a state, those of all its flows. */
  cookies: FlowCookie[]
  code: Secret | undefined
  /** Ellipsis Drive's error code. */
  error: string | undefined
  address: string
  /** Do other browsers have the same address? */
  isAddressShared: boolean
  /** The secret of the cookie that recognises this browser when it connects again. */
  browser: Secret
}

/** How a connect flow ends: with a redirect to the app, or on a page of the broker. */
type ConnectResult =
  /** `sessionId`: the grant of a session that begins, for the cookie; `null`: the app gets a code or token. */
  | { kind: 'redirect'; location: string; sessionId: string | null }
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
  /** Begins a flow for this browser. Stores nothing. @param device a label for people */
  begin(request: AuthorizationRequest, device: string): StartedFlow
  /**
   * Uses the flow's state, exchanges the code, and stores the connection before the browser is redirected.
   * Repeats the result if the same callback comes again, for ten minutes.
   * @throws BrokerError; with `returnTo` if the error goes to the app. After `slow_down` the flow can be
   *   continued
   */
  finish(callback: Callback): Promise<ConnectResult>
}

/** A flow, and the policy that its user allowed. */
type AllowedFlow = Flow & { policy: AccessPolicy | null }

const FLOW_LIFETIME_MS = 10 * 60_000

export function createConnect(dependencies: {
  store: Store
  vault: Vault
  ellipsis: EllipsisClient
  storeConnection: StoreConnection
  budget: UpstreamBudget
  clock: Clock
  random: Random
  log: Log
  deviceFlow: DeviceFlow
  appSessions: AppSessions
  publicUrl: string
}): Connect {
  const { store, vault, ellipsis, storeConnection, budget, clock, random, log, ...rest } =
    dependencies
  const { deviceFlow, appSessions, publicUrl } = rest

  const results = createCallbackResults<ConnectResult>(clock, FLOW_LIFETIME_MS)
  const hasResult = (cookie: FlowCookie): boolean =>
    results.find(callbackKey(true, [cookie])) !== undefined
  const findFlow = createFindFlow({ store, vault, clock, hasResult })

  /** The flow's app as it is now. @throws BrokerError if the flow's redirect URI is no longer registered */
  const getApp = async ({ appId, redirectUri }: Flow): Promise<App> => {
    const app = await store.getApp(appId)
    if (!app) throw appRemoved()
    if (redirectUri === '' || findRedirectUri(app.redirectUris, redirectUri)) return app
    throw redirectUriRemoved(appId)
  }

  /**
   * Within the budget, uses up the state: from here on the flow works no more. A refusal needs neither, as it
   * reaches nobody but the app.
   * @returns gives the budget back
   * @throws BrokerError; the flow is as it was
   */
  const useFlow = async (flow: Flow, callback: Callback): Promise<() => void> => {
    const { stateHash, expiresAt } = flow
    if (callback.error !== undefined || !callback.code) return () => undefined
    const { address, isAddressShared } = callback
    const giveBack = budget.take(isAddressShared ? null : networkOf(address))
    let isUnused = false
    try {
      isUnused = await store.useState({ stateHash, expiresAt })
    } finally {
      if (!isUnused) giveBack()
    }
    if (!isUnused) throw unknownFlow(false)
    return giveBack
  }

  const exchangeCode = async ({ verifier, appId }: Flow, code: Secret | undefined) => {
    if (!code) throw noAnswer()
    try {
      return await ellipsis.exchangeCode({ code, verifier })
    } catch (error) {
      if (!isRejection(error)) throw error
      log.warn({ app: appId, reason: error.message }, 'Ellipsis Drive rejected a code')
      throw codeRejected(error)
    }
  }

  /** While the user signs in, the device's code may expire or be answered by someone else. */
  const checkDevice = async ({ deviceCodeHash }: Flow): Promise<void> => {
    if (deviceCodeHash !== null && !(await deviceFlow.isPending(deviceCodeHash)))
      throw deviceCodeExpired()
  }

  const approveDevice = async (
    flow: AllowedFlow,
    { address }: Callback,
    connectionId: string,
  ): Promise<void> => {
    const { deviceCodeHash, appId, device, policy } = flow
    if (deviceCodeHash === null) return
    const answer = { deviceCodeHash, appId, device, address, policy }
    if (!(await deviceFlow.approve({ ...answer, connectionId }))) throw deviceCodeExpired()
  }

  const denyDevice = async ({ deviceCodeHash }: Flow): Promise<void> => {
    if (deviceCodeHash !== null) await deviceFlow.deny({ deviceCodeHash })
  }

  /** @param giveBack called once Ellipsis Drive has accepted the code */
  const complete = async (
    flow: AllowedFlow,
    app: App,
    callback: Callback,
    giveBack: () => void,
  ): Promise<ConnectResult> => {
    const fragment = app.deliver === 'fragment'
    const returnsToApp = fragment ? flow.appState !== null : issuesCode(flow)
    const isSession = app.session === 'cookie'
    const { redirectUri, appState: state } = flow
    const common = { state, iss: publicUrl }
    const onDevice = flow.deviceCodeHash !== null
    const details = { appName: app.name, backTo: redirectUri === '' ? null : redirectUri, onDevice }
    try {
      if (callback.error !== undefined) throw upstreamDenial(callback.error)
      if (isSession !== isForSession(flow)) throw sessionOptionChanged()
      await checkDevice(flow)
      if (fragment) checkTokenAccess({ app, granted: flow.policy }, publicUrl)
      const tokens = await exchangeCode(flow, callback.code)
      giveBack()
      const { address, browser } = callback
      const isUsed = returnsToApp || onDevice
      const stored = await storeConnection({ flow, tokens, isUsed, address, browser })
      const { id, username, code, isAnother } = stored
      await approveDevice(flow, callback, id)
      if (!returnsToApp) return { kind: 'connected', username, isAnother, ...details }
      const sessionId =
        isSession && code
          ? await appSessions.begin({ ...{ app, code, redirectUri, address }, ...ownProof(flow) })
          : null
      if (sessionId !== null)
        return { kind: 'redirect', location: withResponse(redirectUri, common), sessionId }
      const answer = fragment ? fragmentParameters(tokens, clock.now()) : { code: code?.reveal() }
      const location = withResponse(redirectUri, { ...answer, ...common }, fragment)
      return { kind: 'redirect', location, sessionId }
    } catch (error) {
      const denied = error instanceof BrokerError && error.code === 'access_denied'
      if (denied) await denyDevice(flow)
      if (denied && !returnsToApp) return { kind: 'refused', ...details }
      const known = {
        appId: app.id,
        ...(returnsToApp && { returnTo: { redirectUri, state, fragment } }),
      }
      throw withDetails(known, error)
    }
  }

  /**
   * @param found called with the flow that now ends
   * @param unchanged called if no flow ends: the same callback may come again
   */
  const finishOnce = async (
    callback: Callback,
    found: (flow: Flow) => void,
    unchanged: () => void,
  ): Promise<ConnectResult> => {
    const begun = await begin(callback).catch((error: unknown) => {
      unchanged()
      throw error
    })
    const { flow, app, giveBack } = begun
    found(flow)
    try {
      return await complete(flow, app, callback, giveBack)
    } finally {
      // Ellipsis Drive took a while: nothing goes to an address that the app has given up since.
      await getApp(flow)
    }
  }

  const begin = async (callback: Callback) => {
    const flow = await findFlow(callback)
    const app = await getApp(flow)
    const policy = policyOf(app)
    if (hashOfPolicy(policy) !== flow.policyHash) throw policyChanged(app.id)
    return { flow: { ...flow, policy }, app, giveBack: await useFlow(flow, callback) }
  }

  return {
    check: (parameters, plain) => checkAuthorization(store, parameters, plain),

    mustAsk: ({ app, redirectUri, isConsentRequested }) =>
      !app.trusted || isConsentRequested || isClaimable(redirectUri),

    begin({ app, state: appState, ...request }, device) {
      const [state, verifier] = [newSecret(random), newSecret(random)]
      const stateHash = sha256(state)
      const value = sealFlow(vault, {
        ...{ ...request, stateHash, appState, device },
        challenge: beginsSession(app, request) ? sha256(verifier) : request.challenge,
        verifier: new Secret(verifier),
        appId: app.id,
        policyHash: hashOfPolicy(policyOf(app)),
        expiresAt: clock.now() + FLOW_LIFETIME_MS,
      })
      const location = ellipsis.authorizationUrl({ state, challenge: sha256(verifier) })
      return { location, cookie: { stateHash, value } }
    },

    finish(callback) {
      const { state, cookies } = callback
      const key = callbackKey(state !== null, cookies)
      const former = results.find(key)
      if (former) return former
      const result = finishOnce(
        callback,
        ({ stateHash }) => {
          const own = cookies.filter((cookie) => cookie.stateHash === stateHash)
          results.add(callbackKey(true, own), result)
        },
        () => results.remove(key),
      )
      results.add(key, result)
      return result
    },
  }
}

/**
 * Does the broker redeem the code of this flow itself, for a session? The challenge of such a code is that of the
 * flow's verifier, which only the broker has: nobody else can redeem it.
 */
const isForSession = ({ challenge, verifier }: Flow): boolean =>
  challenge === sha256(verifier.reveal())

/** A device flow of an app that has sessions by now ends with an error. */
const beginsSession = (app: App, { deviceCodeHash }: Pick<Flow, 'deviceCodeHash'>): boolean =>
  app.session === 'cookie' && deviceCodeHash === null

const ownProof = ({ verifier }: Flow) => ({ verifier, proof: null })

/** Fragment delivery: Ellipsis Drive's access token itself, for an app without a back end. */
const fragmentParameters = (tokens: Tokens, now: number) => ({
  access_token: tokens.accessToken.reveal(),
  token_type: 'Bearer',
  expires_in: Math.max(0, Math.floor((tokens.expiresAt - now) / 1000)),
})
