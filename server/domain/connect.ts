import type { Connection, Flow, NewEvent, Store } from '../../db/store.ts'
import type { Account, EllipsisClient, Tokens } from '../ellipsis/client.ts'
import { BrokerError } from '../errors.ts'
import { Secret } from '../secret.ts'
import type { AuthorizationRequest } from './authorize.ts'
import type { Clock, Random } from './clock.ts'
import type { DeviceFlow } from './device-flow.ts'
import { upstreamError, withRetries } from './failure.ts'
import { newId, newSecret, sha256 } from './hash.ts'
import type { Log } from './log.ts'
import { isClaimable, withAnswer } from './redirect-uri.ts'
import type { Vault } from './vault.ts'

/** What the browser takes along to Ellipsis Drive. */
export interface Begun {
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
  | ({ kind: 'connected'; username: string } & Ended)
  | ({ kind: 'refused' } & Ended)

interface Ended {
  appName: string
  /** `null`: the app has no address. */
  backTo: string | null
  /** It goes on at the device that waits. */
  onDevice: boolean
}

/** The connect flow, from the answer on the asking page to the app's code. */
export interface Connect {
  /** Must a person be asked first? All but the host's own apps, where nobody else can get the answer. */
  mustAsk(request: AuthorizationRequest): boolean
  /** Stores a flow for this browser. `device`: a label for people. */
  begin(request: AuthorizationRequest, device: string): Promise<Begun>
  /**
   * Takes the flow, once; exchanges the code, stores the connection, and only then lets the browser go on.
   * @throws BrokerError with `returnTo` where the app is to be told
   */
  finish(callback: Callback): Promise<Finished>
}

/** Lives of a flow and of a code, milliseconds (RFC 6749 4.1.2 has a code live ten minutes at most). */
const FLOW_LIFE = 10 * 60_000
const CODE_LIFE = 60_000

/** How often a lost race for a connection is run again. */
const SAVE_ATTEMPTS = 5

export function createConnect(needs: {
  store: Store
  vault: Vault
  ellipsis: EllipsisClient
  clock: Clock
  random: Random
  log: Log
  deviceFlow: DeviceFlow
  publicUrl: string
}): Connect {
  const { store, vault, ellipsis, clock, random, log, deviceFlow, publicUrl } = needs
  const place = (stateHash: string) => `flows/${stateHash}/verifier` as const

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

  const exchange = async (flow: Flow, code: Secret | undefined) => {
    if (!code) {
      throw new BrokerError('server_error', { description: 'Ellipsis Drive sent no code back.' })
    }
    const verifier = vault.open(place(flow.stateHash), flow.verifier)
    const tokens = await ellipsis.exchangeCode({ code, verifier })
    const { refreshToken } = tokens
    if (refreshToken) return { ...tokens, refreshToken }
    const cause = new Error('Ellipsis Drive gave no refresh token for an authorization code')
    throw new BrokerError('server_error', { cause })
  }

  /** Who connected. Ellipsis Drive may not tell: the connection works all the same. */
  const identify = async ({ accessToken }: Tokens): Promise<Account> => {
    try {
      const account = await withRetries(() => ellipsis.account(accessToken), { clock, random })
      if (account) return account
    } catch (error) {
      log.warn({ err: error }, 'Ellipsis Drive did not tell whose account this is')
    }
    return { id: null, username: '' }
  }

  /** The connection that this authorization renews; `undefined`: it makes a new one. */
  const findRenewed = async (account: Account, flow: Flow): Promise<Connection | undefined> => {
    const known = account.id === null ? undefined : await store.findConnection(account.id)
    if (known || flow.reconnect === null) return known
    const meant = await store.getConnection(flow.reconnect)
    const same = meant?.accountId === null && meant.username === account.username
    return same && meant.username !== '' && meant.status !== 'revoked' ? meant : undefined
  }

  const save = async (flow: Flow, callback: Callback, account: Account, tokens: Kept) => {
    for (let attempt = 0; attempt < SAVE_ATTEMPTS; attempt++) {
      const renewed = await findRenewed(account, flow)
      const id = renewed?.id ?? newId(random, 'con')
      const code = flow.challenge === null ? null : new Secret(newSecret(random))
      const saved = await store.saveConnection({
        id,
        expectedGeneration: renewed?.generation ?? null,
        accountId: account.id,
        username: account.username,
        tokens: {
          refreshToken: vault.seal(`connections/${id}/refresh_token`, tokens.refreshToken),
          accessToken: vault.seal(`connections/${id}/access_token`, tokens.accessToken),
          accessTokenExpiresAt: tokens.expiresAt,
          accessTokenFetchedAt: tokens.fetchedAt,
        },
        now: clock.now(),
        code: code && newCode(flow, id, code),
        events: [connectedEvent(flow, callback, id, renewed !== undefined)],
      })
      if (saved) return { id, code }
    }
    throw new Error('the connection kept changing while it was stored')
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
  const turnAway = async (flow: Flow, { address }: Callback): Promise<void> => {
    const { deviceCodeHash, appId, device } = flow
    if (deviceCodeHash !== null) await deviceFlow.deny({ deviceCodeHash, appId, device, address })
  }

  const newCode = (flow: Flow, connectionId: string, code: Secret) => ({
    codeHash: sha256(code.reveal()),
    appId: flow.appId,
    redirectUri: flow.redirectUri,
    challenge: flow.challenge ?? '',
    connectionId,
    scope: flow.scope,
    device: flow.device,
    createdAt: clock.now(),
    expiresAt: clock.now() + CODE_LIFE,
  })

  const connectedEvent = (flow: Flow, from: Callback, id: string, again: boolean): NewEvent => ({
    at: clock.now(),
    actor: 'user',
    action: again ? 'connection.renewed' : 'connection.connected',
    connectionId: id,
    appId: flow.appId,
    address: from.address,
    details: flow.device,
  })

  return {
    mustAsk: ({ app, redirectUri }) => !app.trusted || isClaimable(redirectUri),

    async begin(request, device) {
      const [state, verifier, browserSecret] = [random, random, random].map(newSecret) as Three
      const stateHash = sha256(state)
      await store.addFlow({
        stateHash,
        browserHash: sha256(browserSecret),
        verifier: vault.seal(place(stateHash), new Secret(verifier)),
        appId: request.app.id,
        redirectUri: request.redirectUri,
        appState: request.state,
        challenge: request.challenge,
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
      const app = await store.getApp(flow.appId)
      if (!app) {
        throw new BrokerError('invalid_request', { description: 'This app has been removed.' })
      }
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
        const account = await identify(tokens)
        const { id, code } = await save(flow, callback, account, tokens)
        await letIn(flow, callback, id)
        if (!issues) return { kind: 'connected', username: account.username, ...ended }
        const answer = fragment ? inFragment(tokens, clock.now()) : { code: code?.reveal() }
        const location = withAnswer(redirectUri, { ...answer, ...common }, fragment)
        return { kind: 'redirect', location }
      } catch (error) {
        const denied = error instanceof BrokerError && error.code === 'access_denied'
        if (denied) await turnAway(flow, callback)
        if (denied && !issues) return { kind: 'refused', ...ended }
        throw issues ? toldTo({ redirectUri, state, fragment }, error) : publicly(error)
      }
    },
  }
}

type Kept = Tokens & { refreshToken: Secret }
type Three = [string, string, string]

/** The founding page's step 4: Ellipsis Drive's access token itself, for a page without a back end. */
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
