import { associatedData } from '../../db/associated-data.ts'
import type { Hash, Millis } from '../../db/store.ts'
import { openText, sealText } from '../crypto/sealed-text.ts'
import type { Vault } from '../crypto/vault.ts'
import { Secret } from '../secret.ts'

/**
 * An authorization in progress, between consent page and callback. The browser keeps it, sealed in a cookie, so
 * that anyone may start any number of flows without storing anything here.
 */
export interface Flow {
  stateHash: Hash
  /** The broker's PKCE verifier for Ellipsis Drive. */
  verifier: Secret
  appId: string
  /** Empty: the app has none. */
  redirectUri: string
  /** The app's `state`, returned unchanged. */
  appState: string | null
  /** The app's S256 challenge; `null`: none, as on a plain connect link, which issues no code. */
  challenge: string | null
  /** The app's `nonce`, for its ID token (OpenID Connect Core 3.1.2.1); `null`: none. */
  nonce: string | null
  /** Thumbprint of the key that the app will prove to hold (`dpop_jkt`, RFC 9449 10). */
  jkt: Hash | null
  scope: string
  /** Of what the user allowed (`hashOfPolicy`): the rules themselves may be too long for a cookie. */
  policyHash: Hash
  /** Connection that a reconnect link is for. */
  reconnect: string | null
  /** A label for people. */
  device: string
  /** Username or id of the account that the app asks for. */
  loginHint: string | null
  /** Accept no other account. */
  isStrictAccount: boolean
  /** The app's own id of the user. */
  externalId: string | null
  /** Of the pushed request that this flow uses up; `null`: it was not pushed. */
  pushedHash: Hash | null
  /** The device code that the person approves or denies. */
  deviceCodeHash: Hash | null
  expiresAt: Millis
}

/** The name of a flow's cookie, as the browser sends it, and its value. */
export interface FlowCookie {
  stateHash: Hash
  value: Secret
}

/** Increment it when the fields change: flows in progress during an upgrade then start again. */
const VERSION = 3

/**
 * Seals a flow for its cookie, bound to its state. With the longest redirect URI and state, the value has some
 * 2,700 characters, and 1,000 more with the longest `login_hint` and `external_id`; browsers accept 4,096.
 */
export function sealFlow(vault: Vault, flow: Flow): Secret {
  const { verifier, appState, ...rest } = flow
  const { appId, redirectUri, challenge, nonce, jkt, scope, reconnect, device } = rest
  const known = [appId, redirectUri, challenge, nonce, jkt, scope, reconnect, device]
  const fields = [
    VERSION,
    flow.expiresAt,
    verifier.reveal(),
    ...known,
    flow.deviceCodeHash,
    flow.policyHash,
    flow.loginHint,
    flow.isStrictAccount,
    flow.externalId,
    flow.pushedHash,
    appState !== null,
  ]
  // The state is not escaped: that could make it six times as long.
  const text = `${JSON.stringify(fields)}\n${appState ?? ''}`
  return sealText(vault, associatedData.flowCookie(flow.stateHash), text)
}

/** Opens a flow's cookie; `undefined`: it was not sealed here for that state, or by another version. */
export function openFlow(vault: Vault, { stateHash, value }: FlowCookie): Flow | undefined {
  const text = openText(vault, associatedData.flowCookie(stateHash), value)
  return text === undefined ? undefined : readFlow(stateHash, text)
}

type Fields = [
  version: number,
  expiresAt: Millis,
  verifier: string,
  appId: string,
  redirectUri: string,
  challenge: string | null,
  nonce: string | null,
  jkt: Hash | null,
  scope: string,
  reconnect: string | null,
  device: string,
  deviceCodeHash: Hash | null,
  policyHash: Hash,
  loginHint: string | null,
  isStrictAccount: boolean,
  externalId: string | null,
  pushedHash: Hash | null,
  hasState: boolean,
]

/** Reads what `sealFlow` wrote: nobody else can have written it. */
function readFlow(stateHash: Hash, text: string): Flow | undefined {
  const end = text.indexOf('\n')
  const fields = JSON.parse(text.slice(0, end)) as Fields
  if (fields[0] !== VERSION) return undefined
  const [, expiresAt, verifier, appId, redirectUri, challenge, nonce, ...rest] = fields
  const [jkt, scope, reconnect, device, deviceCodeHash, policyHash, ...last] = rest
  const [loginHint, isStrictAccount, externalId, pushedHash, hasState] = last
  return {
    ...{ stateHash, verifier: new Secret(verifier), appId, redirectUri, challenge, nonce },
    ...{ jkt, scope, reconnect, device, deviceCodeHash, policyHash, expiresAt },
    ...{ loginHint, isStrictAccount, externalId, pushedHash },
    appState: hasState ? text.slice(end + 1) : null,
  }
}
