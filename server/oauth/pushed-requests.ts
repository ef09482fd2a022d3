import { associatedData } from '../../db/associated-data.ts'
import type { App, Hash, Millis, Store } from '../../db/store.ts'
import { hashSealed, openText, sealText } from '../crypto/sealed-text.ts'
import type { Vault } from '../crypto/vault.ts'
import { BrokerError } from '../errors.ts'
import type { Clock } from '../runtime.ts'
import { Secret } from '../secret.ts'
import { PUSHED_NAMES } from './authorization-parameters.ts'
import { checkAuthorization } from './authorize.ts'
import type { Parameters } from './parameters.ts'

const PREFIX = 'urn:ietf:params:oauth:request_uri:'
/** Long enough for a user who reads the consent page, where the request is opened a second time. */
const LIFETIME_SECONDS = 600
/** The request travels in a URL, whose length proxies limit to 8 KiB. */
const MAX_LENGTH_BYTES = 4096

/** An authorization request that an app pushed. */
export interface PushedRequest {
  parameters: Parameters
  /** Identifies it: it leads to one code at most. */
  requestHash: Hash
}

/**
 * Pushed authorization requests (RFC 9126). The `request_uri` is the request itself, sealed. So a push stores
 * nothing, and nobody can fill the store in the name of a public app; and every process can read it.
 */
export interface PushedRequests {
  /**
   * Checks a request as the authorization endpoint does, and seals it. A confidential app has authenticated.
   * @throws BrokerError without `returnTo`: the app gets the error at once
   */
  push(app: App, parameters: Parameters): Promise<{ requestUri: Secret; expiresInSeconds: number }>
  /**
   * The request of a `request_uri`.
   * @throws BrokerError `invalid_request` if it is not of this app, has expired, or led to a code before
   */
  open(clientId: string, requestUri: string): Promise<PushedRequest>
}

/** Is this a `request_uri` that a push returns? Others are not supported. */
export const isPushedUri = (uri: Parameters[string]): uri is string =>
  typeof uri === 'string' && uri.startsWith(PREFIX)

export function createPushedRequests(deps: {
  store: Store
  vault: Vault
  clock: Clock
}): PushedRequests {
  const { store, vault, clock } = deps

  return {
    async push(app, { request_uri: requestUri, ...given }) {
      if (requestUri !== undefined)
        throw refused('request_uri_sent', 'Send the parameters, not a request_uri.')
      const all = { ...given, client_id: app.id }
      await checkAuthorization(store, all, 'pushed').catch((error: unknown) => {
        if (!(error instanceof BrokerError)) throw error
        const { returnTo, ...details } = error.details
        throw new BrokerError(error.code, details)
      })
      const names = PUSHED_NAMES.filter((name) => all[name as keyof typeof all] !== undefined)
      const known = names.map((name) => [name, (all as Parameters)[name]])
      const expiresAt = clock.now() + LIFETIME_SECONDS * 1000
      const text = JSON.stringify([expiresAt, Object.fromEntries(known)])
      if (Buffer.byteLength(text) > MAX_LENGTH_BYTES)
        throw refused('pushed_request_too_long', 'Send at most 4,000 bytes of parameters.')
      const sealed = sealText(vault, associatedData.pushedRequest(app.id), text)
      const requestUriSealed = new Secret(PREFIX + sealed.reveal())
      return { requestUri: requestUriSealed, expiresInSeconds: LIFETIME_SECONDS }
    },

    async open(clientId, requestUri) {
      const sealed = new Secret(requestUri.slice(PREFIX.length))
      const text = openText(vault, associatedData.pushedRequest(clientId), sealed)
      const [expiresAt, parameters] = text === undefined ? [0, {}] : (JSON.parse(text) as Sealed)
      if (expiresAt <= clock.now()) throw endedRequest('pushed_request_unknown')
      const requestHash = hashSealed('pushed', sealed)
      const used = await store.listUsedStates([requestHash])
      if (used.length > 0) throw endedRequest('pushed_request_used')
      return { parameters, requestHash }
    },
  }
}

type Sealed = [expiresAt: Millis, parameters: Parameters]

const refused = (reason: string, description: string): BrokerError =>
  new BrokerError('invalid_request', { reason, description, isGuess: false })

const endedRequest = (reason: string): BrokerError =>
  refused(
    reason,
    'This attempt to connect has expired, or is already complete. Go back to the app and connect again.',
  )
