import { newSecret, sha256 } from '../crypto/hash.ts'
import type { Vault } from '../crypto/vault.ts'
import type { EllipsisClient } from '../ellipsis/client.ts'
import { hashOfPolicy, policyOf } from '../oauth/access-policy.ts'
import type { AuthorizationRequest } from '../oauth/authorize.ts'
import type { Clock, Random } from '../runtime.ts'
import { Secret } from '../secret.ts'
import { sealFlow } from './flow.ts'
import type { Flow, FlowCookie } from './flow.ts'

export const FLOW_LIFETIME_MS = 10 * 60_000
/** How long the tokens of another account wait for the person's decision. */
const DECISION_LIFETIME_MS = 5 * 60_000

/** A flow that begins, for the redirect to Ellipsis Drive. */
export interface StartedFlow {
  /** URL of Ellipsis Drive's authorization page. */
  location: string
  /** The browser keeps the flow, which binds the flow to it. */
  cookie: FlowCookie
}

/** Creates flows. Stores nothing. */
export interface NewFlows {
  /** @param device a label for people */
  begin(request: AuthorizationRequest, device: string): StartedFlow
  /** Begins again with what the user agreed to. */
  restart(flow: Flow): StartedFlow
  /** A flow that waits for the person's decision about another account. */
  wait(flow: Flow): { state: Secret; cookie: FlowCookie }
}

/** What a flow is created with. */
type NewFlow = Omit<Flow, 'stateHash' | 'verifier' | 'expiresAt'>

export function createNewFlows(deps: {
  vault: Vault
  ellipsis: EllipsisClient
  clock: Clock
  random: Random
}): NewFlows {
  const { vault, ellipsis, clock, random } = deps

  const create = (
    flow: NewFlow,
    { isSession, lifetimeMs }: { isSession: boolean; lifetimeMs: number },
  ): { state: Secret; verifier: string; cookie: FlowCookie } => {
    const [state, verifier] = [newSecret(random), newSecret(random)]
    const stateHash = sha256(state)
    const value = sealFlow(vault, {
      ...flow,
      stateHash,
      verifier: new Secret(verifier),
      challenge: isSession ? sha256(verifier) : flow.challenge,
      expiresAt: clock.now() + lifetimeMs,
    })
    return { state: new Secret(state), verifier, cookie: { stateHash, value } }
  }

  const start = (flow: NewFlow, isSession: boolean): StartedFlow => {
    const { state, verifier, cookie } = create(flow, { isSession, lifetimeMs: FLOW_LIFETIME_MS })
    const challenge = sha256(verifier)
    return { location: ellipsis.authorizationUrl({ state: state.reveal(), challenge }), cookie }
  }

  return {
    begin({ app, state: appState, ...request }, device) {
      const policyHash = hashOfPolicy(policyOf(app))
      // A device flow of an app that has sessions by now ends with an error.
      const isSession = app.session === 'cookie' && request.deviceCodeHash === null
      return start({ ...request, appState, device, appId: app.id, policyHash }, isSession)
    },

    // The pushed request of the first flow was used up there.
    restart: (flow) => start({ ...flow, pushedHash: null }, isForSession(flow)),

    wait(flow) {
      const options = { isSession: isForSession(flow), lifetimeMs: DECISION_LIFETIME_MS }
      const { state, cookie } = create({ ...flow, pushedHash: null }, options)
      return { state, cookie }
    },
  }
}

/**
 * Does the broker redeem the code of this flow itself, for a session? The challenge of such a code is that of the
 * flow's verifier. Only the broker has the verifier, so no app can redeem the code.
 */
export const isForSession = ({ challenge, verifier }: Flow): boolean =>
  challenge === sha256(verifier.reveal())
