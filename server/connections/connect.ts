import type { App, Store } from '../../db/store.ts'
import { networkOf } from '../addresses.ts'
import type { EllipsisClient } from '../ellipsis/client.ts'
import type { Secret } from '../secret.ts'
import { checkAuthorization } from '../oauth/authorize.ts'
import type { AuthorizationRequest } from '../oauth/authorize.ts'
import type { Parameters } from '../oauth/parameters.ts'
import type { Clock } from '../runtime.ts'
import type { Log } from '../log.ts'
import { sha256 } from '../crypto/hash.ts'
import { callbackKey, createCallbackResults } from './callback-results.ts'
import {
  codeRejected,
  isRejection,
  noAnswer,
  otherAccount,
  policyChanged,
  pushedRequestUsed,
  unknownFlow,
  upstreamDenial,
} from './connect-errors.ts'
import { findOtherAccount, openWaiting, sealWaiting } from './other-account.ts'
import type { WaitingTokens } from './other-account.ts'
import type { Identify } from './identify.ts'
import type { KeepConnection } from './keep-connection.ts'
import { isPushedUri } from '../oauth/pushed-requests.ts'
import type { PushedRequests } from '../oauth/pushed-requests.ts'
import { hashOfPolicy, policyOf } from '../oauth/access-policy.ts'
import { createFlowEnd } from './flow-end.ts'
import type {
  AccountQuestion,
  AllowedFlow,
  ConnectResult,
  FlowEndDependencies,
} from './flow-end.ts'
import type { Flow, FlowCookie } from './flow.ts'
import { FLOW_LIFETIME_MS } from './new-flows.ts'
import type { NewFlows, StartedFlow } from './new-flows.ts'
import { createFindFlow } from './pending-flows.ts'
import type { UpstreamBudget } from './upstream-budget.ts'
import { isClaimable } from '../oauth/redirect-uri.ts'
import type { Vault } from '../crypto/vault.ts'

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

/** The person's decision about another account. */
export interface AccountDecision extends Pick<Callback, 'address' | 'browser'> {
  /** As in the question, from the page's form and the browser's cookie. */
  state: string
  cookies: FlowCookie[]
  waiting: Secret
  /** `continue`: connect this account; `restart`: drop its tokens, and go to Ellipsis Drive again. */
  choice: 'continue' | 'restart'
}

/** The connect flow, from the consent page to the app's code. */
export interface Connect {
  /** Checks an authorization request, also one that was pushed: see `checkAuthorization`. */
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
  /**
   * Does what the person decided about another account. The tokens of an account that is not connected are
   * dropped; Ellipsis Drive has no way to revoke them.
   * @throws BrokerError as `finish`
   */
  decide(decision: AccountDecision): Promise<ConnectResult>
}

export function createConnect(
  dependencies: {
    store: Store
    vault: Vault
    ellipsis: EllipsisClient
    newFlows: NewFlows
    identify: Identify
    keepConnection: KeepConnection
    pushedRequests: PushedRequests
    budget: UpstreamBudget
    clock: Clock
    log: Log
  } & FlowEndDependencies,
): Connect {
  const { store, vault, ellipsis, budget, clock, log, ...rest } = dependencies
  const { identify, newFlows, pushedRequests, keepConnection } = rest
  const { getApp, checkOptions, checkDevice, connectAccount, within } = createFlowEnd(dependencies)

  const results = createCallbackResults<ConnectResult>(clock, FLOW_LIFETIME_MS)
  const hasResult = (cookie: FlowCookie): boolean =>
    results.find(callbackKey(true, [cookie])) !== undefined
  const findFlow = createFindFlow({ store, vault, clock, hasResult })

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

  /** One pushed request leads to one code (RFC 9126 7.3), so it is used up where a code may follow. */
  const usePushed = async ({ pushedHash }: Flow): Promise<void> => {
    if (pushedHash === null) return
    // It expires before a flow that began with it just now.
    const expiresAt = clock.now() + FLOW_LIFETIME_MS
    if (!(await store.useState({ stateHash: pushedHash, expiresAt }))) throw pushedRequestUsed()
  }

  /** The question about an account that the app did not ask for; `null`: no question is needed. */
  const askAccount = async (
    flow: Flow,
    { name: appName }: App,
    { account, tokens }: WaitingTokens,
  ): Promise<AccountQuestion | null> => {
    const other = await findOtherAccount(store, flow, account)
    if (!other) return null
    // Ellipsis Drive doesn't say whose account it is: then a question would say nothing either.
    if (!other.isCertain && !flow.isStrictAccount) return null
    // These tokens may be dropped. A connection that the account has may be refreshed before the person decides.
    const isKept = account.id !== null && (await keepConnection(account.id, tokens))
    if (flow.isStrictAccount) throw otherAccount()
    const { state, cookie } = newFlows.wait(flow)
    const waiting = sealWaiting(vault, cookie.stateHash, {
      account,
      tokens: isKept ? { ...tokens, refreshToken: null } : tokens,
    })
    const actual = account.username || (account.id ?? '')
    const { expected } = other
    return { appName, expected, actual, state, cookie, waiting }
  }

  /** @throws BrokerError if the policy is not the one that the user allowed */
  const withPolicy = (flow: Flow, app: App): AllowedFlow => {
    const policy = policyOf(app)
    if (hashOfPolicy(policy) !== flow.policyHash) throw policyChanged(app.id)
    return { ...flow, policy }
  }

  /** @param giveBack called once Ellipsis Drive has accepted the code */
  const complete = async (
    flow: AllowedFlow,
    app: App,
    callback: Callback,
    giveBack: () => void,
  ): Promise<ConnectResult> =>
    within(flow, app, async () => {
      if (callback.error !== undefined) throw upstreamDenial(callback.error)
      checkOptions(flow, app)
      await checkDevice(flow)
      await usePushed(flow)
      const tokens = await exchangeCode(flow, callback.code)
      giveBack()
      const waiting = { account: await identify(tokens), tokens }
      const question = await askAccount(flow, app, waiting)
      if (question) return { kind: 'other-account', ...question }
      return connectAccount(flow, app, callback, waiting)
    })

  const decideOnce = async (decision: AccountDecision): Promise<ConnectResult> => {
    const flow = await findFlow(decision)
    const waiting = openWaiting(vault, flow.stateHash, decision.waiting)
    if (!waiting) throw unknownFlow(true)
    const app = await getApp(flow)
    const allowed = withPolicy(flow, app)
    const { stateHash, expiresAt } = flow
    if (!(await store.useState({ stateHash, expiresAt }))) throw unknownFlow(false)
    if (decision.choice === 'restart') return { kind: 'restart', ...newFlows.restart(flow) }
    try {
      return await within(flow, app, async () => {
        checkOptions(allowed, app)
        return connectAccount(allowed, app, decision, waiting)
      })
    } finally {
      await getApp(flow)
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
    return { flow: withPolicy(flow, app), app, giveBack: await useFlow(flow, callback) }
  }

  return {
    async check(parameters, plain) {
      const { client_id: id, request_uri: uri } = parameters
      if (plain || typeof id !== 'string' || !isPushedUri(uri))
        return checkAuthorization(store, parameters, plain ? 'link' : 'request')
      const pushed = await pushedRequests.open(id, uri)
      const request = await checkAuthorization(store, pushed.parameters, 'pushed')
      return { ...request, pushedHash: pushed.requestHash }
    },

    mustAsk: ({ app, redirectUri, isConsentRequested }) =>
      !app.trusted || isConsentRequested || isClaimable(redirectUri),

    begin: newFlows.begin,

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

    decide(decision) {
      const { cookies, choice } = decision
      const key = sha256(`${choice} ${callbackKey(true, cookies)}`)
      const former = results.find(key)
      if (former) return former
      const result = decideOnce(decision)
      results.add(key, result)
      // A post with wrong tokens must not keep this browser from posting the right ones.
      result.catch(() => results.remove(key))
      return result
    },
  }
}
