import { associatedData } from '../../db/associated-data.ts'
import type { Hash, Millis, Store } from '../../db/store.ts'
import { networkOf } from '../addresses.ts'
import { callbackKey, createCallbackResults } from '../connections/callback-results.ts'
import { noAnswer } from '../connections/connect-errors.ts'
import type { Callback } from '../connections/connect.ts'
import type { FlowCookie } from '../connections/flow.ts'
import type { Identify } from '../connections/identify.ts'
import type { KeepConnection } from '../connections/keep-connection.ts'
import { FLOW_LIFETIME_MS } from '../connections/new-flows.ts'
import type { StartedFlow } from '../connections/new-flows.ts'
import type { UpstreamBudget } from '../connections/upstream-budget.ts'
import { newSecret, sha256 } from '../crypto/hash.ts'
import { openText, sealText } from '../crypto/sealed-text.ts'
import type { Vault } from '../crypto/vault.ts'
import type { EllipsisClient } from '../ellipsis/client.ts'
import type { Log } from '../log.ts'
import type { Clock, Random } from '../runtime.ts'
import { Secret } from '../secret.ts'
import type { FindBrowserConnections } from './browser-connections.ts'
import type { PersonSessions } from './sessions.ts'

/** `denied`: the person refused; `failed`: expired, used before, or Ellipsis Drive could not complete it. */
type SignInResult = { kind: 'signed-in'; session: Secret } | { kind: 'denied' } | { kind: 'failed' }

/**
 * Signs a person in for `/me`, by an authorization at Ellipsis Drive that is only used to learn the account. It goes
 * through the same callback as a connect flow: Ellipsis Drive redirects to no other.
 */
export interface PersonSignIn {
  /** Begins a flow for this browser. Stores nothing. */
  begin(): StartedFlow
  /**
   * Ends the flow of a callback, drops its tokens, and begins a session. Repeats the result for ten minutes.
   * `undefined`: the callback belongs to no such flow.
   * @throws BrokerError `slow_down`, `temporarily_unavailable`: too many calls; the flow can be continued
   */
  finish(callback: Callback): Promise<SignInResult | undefined>
}

interface SignInFlow {
  stateHash: Hash
  verifier: Secret
  expiresAt: Millis
}

export function createPersonSignIn(dependencies: {
  store: Store
  vault: Vault
  ellipsis: EllipsisClient
  identify: Identify
  budget: UpstreamBudget
  keepConnection: KeepConnection
  findBrowserConnections: FindBrowserConnections
  personSessions: PersonSessions
  clock: Clock
  random: Random
  log: Log
}): PersonSignIn {
  const { store, vault, ellipsis, identify, budget, clock, random, log, ...rest } = dependencies
  const { keepConnection, findBrowserConnections, personSessions } = rest
  const results = createCallbackResults<SignInResult>(clock, FLOW_LIFETIME_MS)

  const openFlow = ({ stateHash, value }: FlowCookie): SignInFlow | undefined => {
    const text = openText(vault, associatedData.signInFlow(stateHash), value)
    if (text === undefined) return undefined
    const [expiresAt, verifier] = JSON.parse(text) as [Millis, string]
    return { stateHash, verifier: new Secret(verifier), expiresAt }
  }

  /** Uses up the state, within the budget. `null`: it was used before. @returns gives the budget back */
  const useFlow = async (
    { stateHash, expiresAt }: SignInFlow,
    { address, isAddressShared }: Callback,
  ): Promise<(() => void) | null> => {
    const giveBack = budget.take(isAddressShared ? null : networkOf(address))
    if (await store.useState({ stateHash, expiresAt })) return giveBack
    giveBack()
    return null
  }

  const fail = (error: unknown): SignInResult => {
    log.warn({ err: error }, 'a sign-in at /me failed')
    return { kind: 'failed' }
  }

  const signIn = async (flow: SignInFlow, callback: Callback): Promise<SignInResult> => {
    const { error, code, browser } = callback
    if (error === 'access_denied') return { kind: 'denied' }
    if (error !== undefined || !code) return fail(noAnswer())
    if (flow.expiresAt <= clock.now()) return { kind: 'failed' }
    const giveBack = await useFlow(flow, callback)
    if (!giveBack) return { kind: 'failed' }
    try {
      const tokens = await ellipsis.exchangeCode({ code, verifier: flow.verifier })
      giveBack()
      const { id: accountId, username } = await identify(tokens)
      if (accountId !== null) await keepConnection(accountId, tokens)
      const connectionIds = accountId === null ? await findBrowserConnections(browser) : []
      const session = personSessions.begin({ accountId, username, connectionIds })
      return { kind: 'signed-in', session }
    } catch (failure) {
      return fail(failure)
    }
  }

  return {
    begin() {
      const [state, verifier] = [newSecret(random), newSecret(random)]
      const stateHash = sha256(state)
      const text = JSON.stringify([clock.now() + FLOW_LIFETIME_MS, verifier])
      const value = sealText(vault, associatedData.signInFlow(stateHash), text)
      const location = ellipsis.authorizationUrl({ state, challenge: sha256(verifier) })
      return { location, cookie: { stateHash, value } }
    },

    async finish(callback) {
      const [cookie] = callback.state === null ? [] : callback.cookies
      const flow = cookie && openFlow(cookie)
      if (!flow) return undefined
      const key = callbackKey(true, [cookie])
      const former = results.find(key)
      if (former) return former
      const result = signIn(flow, callback)
      results.add(key, result)
      result.catch(() => results.remove(key))
      return result
    },
  }
}
