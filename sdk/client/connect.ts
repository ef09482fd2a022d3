import { digest, randomText } from '../shared/base64url.ts'
import { BrokerError } from '../shared/error.ts'
import { openStorage } from './storage.ts'
import type { Tokens } from './tokens.ts'

export interface ConnectOptions {
  /** Ask in a popup, the default: call it in a click. A browser that blocks the popup gets a redirect. */
  popup?: boolean
  /** Leave the page. `handleRedirect` continues when the user comes back. */
  redirect?: boolean
  /** The account that the user should connect, by username or account id. */
  loginHint?: string
  /** Stops waiting for the popup: a page can’t always see that it was closed. */
  signal?: AbortSignal
}

interface ConnectorOptions {
  name: string
  broker: string
  clientId: string
  redirectUri: string
  scope: string | undefined
  tokens: Tokens
}

/** What a page must remember while the user is away. */
interface Flow {
  state: string
  verifier: string
  /** The page that the user left. */
  url: string
}

/** Begins the state of a flow whose answer goes to another window. */
const POPUP = 'popup.'
const FLOW = 'flow of '

const cancelled = () => new BrokerError('cancelled', 'Connecting was cancelled.')

export function createConnector(options: ConnectorOptions) {
  const { name, broker, clientId, redirectUri, scope, tokens } = options
  const flows = openStorage('session')
  let cancel: (() => void) | undefined
  let handled: Promise<boolean> | undefined

  const newFlow = (prefix: string): Flow => ({
    state: prefix + randomText(),
    verifier: randomText(),
    url: location.href,
  })

  async function authorizeUrl({ state, verifier }: Flow, loginHint?: string): Promise<string> {
    const parameters = {
      response_type: 'code',
      client_id: clientId,
      redirect_uri: redirectUri,
      state,
      code_challenge: await digest(verifier),
      code_challenge_method: 'S256',
      ...(scope && { scope }),
      ...(loginHint && { login_hint: loginHint }),
    }
    return `${broker}/oauth/authorize?${new URLSearchParams(parameters)}`
  }

  /** Leaves the page, so it never returns. */
  async function redirect(loginHint?: string): Promise<never> {
    const flow = newFlow('')
    await flows.setItem(FLOW + name, JSON.stringify(flow))
    location.assign(await authorizeUrl(flow, loginHint))
    return new Promise(() => undefined)
  }

  /** The answer that the callback page of a popup hands over. */
  function answerOf({ state }: Flow, popup: Window, signal: AbortSignal | undefined) {
    const listening = new AbortController()
    return new Promise<URLSearchParams>((resolve, reject) => {
      const take = ({ origin, data }: MessageEvent) => {
        const answer = new URLSearchParams(String(data))
        if (origin === location.origin && answer.get('state') === state) resolve(answer)
      }
      cancel = () => reject(cancelled())
      signal?.addEventListener('abort', () => (cancel?.(), popup.close()), listening)
      // A page on the way may cut the link to the opener, and a frame shares no channel with other windows.
      for (const target of [window, tokens.channel])
        target.addEventListener('message', take as EventListener, listening)
    }).finally(() => listening.abort())
  }

  /** @throws BrokerError `invalid_state` if it comes from elsewhere (RFC 9207); the error in the answer */
  async function redeem(answer: URLSearchParams, flow: Flow): Promise<void> {
    if (answer.get('iss') !== broker) {
      throw new BrokerError('invalid_state', `This answer is not from ${broker}.`)
    }
    const error = answer.get('error')
    if (error) throw new BrokerError(error, answer.get('error_description') ?? error)
    await tokens.redeem(answer.get('code') ?? '', flow.verifier, redirectUri)
  }

  return {
    async connect({ redirect: isRedirect, loginHint, signal }: ConnectOptions): Promise<void> {
      cancel?.()
      if (signal?.aborted) throw cancelled()
      if (isRedirect) return redirect(loginHint)
      // At once: browsers block popups that do not open in a click.
      const popup = open('', name, 'popup,width=560,height=760')
      if (!popup) {
        if (window === top) return redirect(loginHint)
        throw new BrokerError('popup_blocked', 'Allow popups for this page, and connect again.')
      }
      const flow = newFlow(POPUP)
      const answer = answerOf(flow, popup, signal)
      popup.location = await authorizeUrl(flow, loginHint)
      await redeem(await answer, flow)
    },

    /** Handles the answer in the URL of this page, if there is one. */
    handleRedirect(): Promise<boolean> {
      return (handled ??= handle())
    },
  }

  async function handle(): Promise<boolean> {
    const { search, pathname, href } = location
    const answer = new URLSearchParams(search)
    const state = answer.get('state')
    if (state?.startsWith(POPUP)) {
      tokens.channel.postMessage(search)
      ;(opener as Window | null)?.postMessage(search, location.origin)
      close()
      return true
    }
    const flow = JSON.parse((await flows.getItem(FLOW + name)) ?? '{}') as Partial<Flow>
    const isOwn = flow.state === state
    // Another library may handle it.
    if (!state || !(isOwn || answer.get('iss') === broker)) return false
    await flows.removeItem(FLOW + name)
    const isBack = flow.url?.split(/[?#]/)[0] === href.split(/[?#]/)[0]
    history.replaceState(history.state, '', isBack ? flow.url : pathname)
    if (isOwn) {
      await redeem(answer, flow as Flow)
      return true
    }
    // The user went back to an answer that was handled before.
    if (await tokens.read()) return false
    throw new BrokerError('invalid_state', 'This answer is not for a request of this page.')
  }
}
