import type { AccessPolicy, App, Store } from '../../db/store.ts'
import { issuesCode } from '../oauth/authorization-code.ts'
import type { AppSessions } from '../oauth/app-sessions.ts'
import { checkTokenAccess } from '../oauth/access-policy.ts'
import type { DeviceFlow } from '../oauth/device-flow.ts'
import { findRedirectUri, withResponse } from '../oauth/redirect-uri.ts'
import type { Tokens } from '../ellipsis/client.ts'
import { BrokerError } from '../errors.ts'
import type { Clock } from '../runtime.ts'
import type { Secret } from '../secret.ts'
import {
  appRemoved,
  deviceCodeExpired,
  redirectUriRemoved,
  sessionOptionChanged,
  withDetails,
} from './connect-errors.ts'
import type { Flow, FlowCookie } from './flow.ts'
import { isForSession } from './new-flows.ts'
import type { StartedFlow } from './new-flows.ts'
import type { WaitingTokens } from './other-account.ts'
import type { StoreConnection } from './store-connection.ts'

/** How a connect flow ends: with a redirect to the app, or on a page of the broker. */
export type ConnectResult =
  /** `sessionId`: the grant of a session that begins, for the cookie; `null`: the app gets a code or token. */
  | { kind: 'redirect'; location: string; sessionId: string | null }
  | ({ kind: 'restart' } & StartedFlow)
  | ({ kind: 'other-account' } & AccountQuestion)
  | ({ kind: 'connected'; username: string } & PageDetails)
  | ({ kind: 'refused' } & PageDetails)

/** Asks the person about an account that the app did not ask for. Nothing is stored yet. */
export interface AccountQuestion {
  appName: string
  /** The account that the app asked for. */
  expected: string
  /** The account that came back. */
  actual: string
  /** The secret of the flow that waits for the decision. */
  state: Secret
  cookie: FlowCookie
  /** The tokens, sealed. */
  waiting: Secret
}

interface PageDetails {
  appName: string
  /** The app's redirect URI; `null`: it has none. */
  backTo: string | null
  /** The user continues on the device that is waiting. */
  onDevice: boolean
}

/** A flow, and the policy that its user allowed. */
export type AllowedFlow = Flow & { policy: AccessPolicy | null }

/** How flows end: with what the app or the device gets, with a page, or with an error that goes to the app. */
export interface FlowEnd {
  /** The flow's app as it is now. @throws BrokerError if the flow's redirect URI is no longer registered */
  getApp(flow: Flow): Promise<App>
  /** While the user signs in, the app's options may change. @throws BrokerError */
  checkOptions(flow: AllowedFlow, app: App): void
  /** While the user signs in, the device's code may expire or be answered by someone else. @throws BrokerError */
  checkDevice(flow: Flow): Promise<void>
  /** Stores the account's connection, and gives the app what it asked for. @throws BrokerError */
  connectAccount(
    flow: AllowedFlow,
    app: App,
    browser: { address: string; browser: Secret },
    account: WaitingTokens,
  ): Promise<ConnectResult>
  /** Does the work, and gives its errors what only the flow knows. @throws BrokerError */
  within(flow: Flow, app: App, work: () => Promise<ConnectResult>): Promise<ConnectResult>
}

/** What flows end with; the connect flow passes it on. */
export interface FlowEndDependencies {
  store: Pick<Store, 'getApp'>
  storeConnection: StoreConnection
  clock: Clock
  deviceFlow: DeviceFlow
  appSessions: AppSessions
  publicUrl: string
}

export function createFlowEnd(dependencies: FlowEndDependencies): FlowEnd {
  const { store, storeConnection, clock, deviceFlow, appSessions, publicUrl } = dependencies

  const getApp = async ({ appId, redirectUri }: Flow): Promise<App> => {
    const app = await store.getApp(appId)
    if (!app) throw appRemoved()
    if (redirectUri === '' || findRedirectUri(app.redirectUris, redirectUri)) return app
    throw redirectUriRemoved(appId)
  }

  const approveDevice = async (
    flow: AllowedFlow,
    address: string,
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

  const returnsToApp = (flow: Flow, app: App): boolean =>
    app.deliver === 'fragment' ? flow.appState !== null : issuesCode(flow)

  const detailsOf = ({ redirectUri, deviceCodeHash }: Flow, app: App): PageDetails => ({
    appName: app.name,
    backTo: redirectUri === '' ? null : redirectUri,
    onDevice: deviceCodeHash !== null,
  })

  return {
    getApp,

    checkOptions(flow: AllowedFlow, app: App) {
      if ((app.session === 'cookie') !== isForSession(flow)) throw sessionOptionChanged()
      if (app.deliver === 'fragment') checkTokenAccess({ app, granted: flow.policy }, publicUrl)
    },

    async checkDevice({ deviceCodeHash }: Flow) {
      if (deviceCodeHash !== null && !(await deviceFlow.isPending(deviceCodeHash)))
        throw deviceCodeExpired()
    },

    async connectAccount(
      flow: AllowedFlow,
      app: App,
      { address, browser },
      { account, tokens }: WaitingTokens,
    ) {
      const { redirectUri, appState: state } = flow
      const fragment = app.deliver === 'fragment'
      const isUsed = returnsToApp(flow, app) || flow.deviceCodeHash !== null
      const stored = await storeConnection({ flow, account, tokens, isUsed, address, browser })
      const { id, username, code } = stored
      await approveDevice(flow, address, id)
      if (!returnsToApp(flow, app)) return { kind: 'connected', username, ...detailsOf(flow, app) }
      const common = { state, iss: publicUrl }
      const sessionId =
        app.session === 'cookie' && code
          ? await appSessions.begin({ ...{ app, code, redirectUri, address }, ...ownProof(flow) })
          : null
      if (sessionId !== null)
        return { kind: 'redirect', location: withResponse(redirectUri, common), sessionId }
      // Ellipsis Drive took a while: a narrower policy holds from the moment of its commit.
      if (fragment) checkTokenAccess({ app: await getApp(flow), granted: flow.policy }, publicUrl)
      const answer = fragment ? fragmentParameters(tokens, clock.now()) : { code: code?.reveal() }
      const location = withResponse(redirectUri, { ...answer, ...common }, fragment)
      return { kind: 'redirect', location, sessionId }
    },

    async within(flow: Flow, app: App, work: () => Promise<ConnectResult>) {
      const { redirectUri, appState: state } = flow
      const fragment = app.deliver === 'fragment'
      try {
        return await work()
      } catch (error) {
        const denied = error instanceof BrokerError && error.code === 'access_denied'
        if (denied) await denyDevice(flow)
        const returns = returnsToApp(flow, app)
        if (denied && !returns) return { kind: 'refused', ...detailsOf(flow, app) }
        const returnTo = { redirectUri, state, fragment }
        throw withDetails({ appId: app.id, ...(returns && { returnTo }) }, error)
      }
    },
  }
}

const ownProof = ({ verifier }: Flow) => ({ verifier, proof: null })

/** Fragment delivery: Ellipsis Drive's access token itself, for an app without a back end. */
const fragmentParameters = (tokens: Tokens, now: number) => ({
  access_token: tokens.accessToken.reveal(),
  token_type: 'Bearer',
  expires_in: Math.max(0, Math.floor((tokens.expiresAt - now) / 1000)),
})
