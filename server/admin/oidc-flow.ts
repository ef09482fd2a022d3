import { associatedData } from '../../db/associated-data.ts'
import type { Hash, Store } from '../../db/store.ts'
import { newSecret, sha256 } from '../crypto/hash.ts'
import { openText, sealText } from '../crypto/sealed-text.ts'
import type { Vault } from '../crypto/vault.ts'
import type { FlowChecks } from '../oidc/provider.ts'
import type { Clock, Random } from '../runtime.ts'
import { Secret } from '../secret.ts'

/** How long a person may take at the identity provider. */
export const OIDC_FLOW_LIFETIME_MS = 10 * 60_000
/** Cookies have room for some 4,000 characters. */
const MAX_NEXT_LENGTH_CHARS = 1500

/** What a flow is for: to sign in; or, in that session, to link an account, or to confirm who the admin is. */
export type OidcPurpose = 'sign-in' | { link: Hash } | { confirm: Hash }

export interface OidcFlow {
  purpose: OidcPurpose
  /** Where the admin goes afterwards: checked by the routes. */
  next: string
  checks: FlowChecks
}

/**
 * Flows to the identity provider and back. The browser keeps each in a cookie, sealed for its state: nothing is stored
 * here, and a state is of no use in another browser.
 */
export interface OidcFlows {
  begin(purpose: OidcPurpose, next: string): { checks: FlowChecks; sealed: Secret }
  /** Uses a flow up. `undefined`: it is not this broker's or of another state or issuer, has ended, or was used. */
  use(state: Secret, sealed: Secret): Promise<OidcFlow | undefined>
}

export function createOidcFlows(dependencies: {
  store: Store
  vault: Vault
  clock: Clock
  random: Random
  issuer: string
}): OidcFlows {
  const { store, vault, clock, random, issuer } = dependencies

  const open = (state: Secret, cookie: Secret): SealedFlow | undefined => {
    const text = openText(vault, associatedData.oidcFlow(sha256(state.reveal())), cookie)
    return text === undefined ? undefined : (JSON.parse(text) as SealedFlow)
  }

  return {
    begin(purpose, target) {
      const [state, nonce, verifier] = [newSecret(random), newSecret(random), newSecret(random)]
      const next = target.length > MAX_NEXT_LENGTH_CHARS ? '' : target
      const expiresAt = clock.now() + OIDC_FLOW_LIFETIME_MS
      const content: SealedFlow = { issuer, purpose, next, nonce, verifier, expiresAt }
      return {
        checks: { state: new Secret(state), nonce, verifier: new Secret(verifier) },
        sealed: sealText(vault, associatedData.oidcFlow(sha256(state)), JSON.stringify(content)),
      }
    },

    async use(state, cookie) {
      const flow = open(state, cookie)
      if (flow?.issuer !== issuer || flow.expiresAt <= clock.now()) return undefined
      const { purpose, next, nonce, expiresAt } = flow
      const proofHash = sha256(`oidc state ${state.reveal()}`)
      if (!(await store.useProof({ proofHash, expiresAt }))) return undefined
      return { purpose, next, checks: { state, nonce, verifier: new Secret(flow.verifier) } }
    },
  }
}

interface SealedFlow {
  issuer: string
  purpose: OidcPurpose
  next: string
  nonce: string
  verifier: string
  expiresAt: number
}
