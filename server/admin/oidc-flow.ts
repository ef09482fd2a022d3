import { associatedData } from '../../db/associated-data.ts'
import type { Hash, Store } from '../../db/store.ts'
import { newSecret, sha256 } from '../crypto/hash.ts'
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
  begin(purpose: OidcPurpose, next: string): OidcFlow & { sealed: Secret }
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

  /** What `begin` sealed: nobody else can have written it. */
  const open = (state: Secret, cookie: Secret) => {
    const sealed = Buffer.from(cookie.reveal(), 'base64url')
    // A stranger chooses the key id. An unknown one must not load the keys again.
    if (!vault.keyIds().includes(vault.keyOf(sealed) ?? '')) return undefined
    try {
      const text = vault.open(associatedData.oidcFlow(sha256(state.reveal())), sealed).reveal()
      return JSON.parse(text) as SealedFlow
    } catch {
      return undefined
    }
  }

  return {
    begin(purpose, target) {
      const [state, nonce, verifier] = [newSecret(random), newSecret(random), newSecret(random)]
      const next = target.length > MAX_NEXT_LENGTH_CHARS ? '' : target
      const expiresAt = clock.now() + OIDC_FLOW_LIFETIME_MS
      const content: SealedFlow = { issuer, purpose, next, nonce, verifier, expiresAt }
      const aad = associatedData.oidcFlow(sha256(state))
      const sealed = vault.seal(aad, new Secret(JSON.stringify(content)), { padded: false })
      return {
        purpose,
        next,
        checks: { state: new Secret(state), nonce, verifier: new Secret(verifier) },
        sealed: new Secret(Buffer.from(sealed).toString('base64url')),
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
