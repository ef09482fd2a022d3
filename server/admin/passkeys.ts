import { isIP } from 'node:net'
import type { Admin, NewEvent, Passkey, Store } from '../../db/store.ts'
import type { Clock, Random } from '../runtime.ts'
import type { Secret } from '../secret.ts'
import type { Vault } from '../crypto/vault.ts'
import { normalizeEmail, visibleStart } from '../visible-text.ts'
import { actorFields } from './actor.ts'
import type { Actor } from './actor.ts'
import { CHALLENGE_LIFETIME_MS, createPasskeyChallenges } from './passkey-challenge.ts'
import type { PasskeyPurpose } from './passkey-challenge.ts'
import type { SignedIn } from './sessions.ts'
import {
  creationOptions,
  credentialIdOf,
  requestOptions,
  verifyCreation,
  verifyUse,
} from './webauthn.ts'
import type { CreationOptions, RelyingParty, RequestOptions } from './webauthn.ts'

const MAX_PASSKEYS = 20
const MAX_NAME_LENGTH_CHARS = 60

/** What the browser's script needs, and the challenge in it, sealed, for a cookie. */
export interface PasskeyOffer<Options = RequestOptions> {
  options: Options
  challenge: Secret
}

/** What the browser sends back. */
export interface PasskeyResponse {
  /** JSON of the `PublicKeyCredential`. */
  response: string
  /** From the cookie. */
  challenge: Secret | undefined
}

type FoundPasskey = NonNullable<Awaited<ReturnType<Store['findPasskey']>>>

/** Passkeys of admins (Web Authentication): in place of password and second factor, or after the password. */
export interface Passkeys {
  /** `false`: the public URL has an IP address instead of a host name, for which browsers make no passkeys. */
  isSupported: boolean
  /** @param owner only their passkeys; `null`: the person chooses any that the browser has for this broker */
  offer(purpose: PasskeyPurpose, owner: Pick<Admin, 'id'> | null): Promise<PasskeyOffer>
  /** Offers to make a new passkey, on a device that has none of this admin's. */
  offerNew(signedIn: SignedIn): Promise<PasskeyOffer<CreationOptions>>
  /** Adds a passkey. @param name chosen by the admin; may be empty */
  add(
    signedIn: SignedIn,
    made: PasskeyResponse & { name: string },
    address: string,
  ): Promise<{ kind: 'added'; name: string } | { kind: 'refused' | 'full' }>
  list(adminId: string): Promise<Passkey[]>
  /** The passkey that a response names, and its owner; nothing of the response is verified yet. */
  find(response: string): Promise<FoundPasskey | undefined>
  /**
   * Verifies the use of a passkey; the challenge is used up.
   * @returns `copied`: valid, but its counter is behind, so there may be a copy (WebAuthn 6.1.1)
   */
  use(
    purpose: PasskeyPurpose,
    answer: PasskeyResponse,
    found: FoundPasskey,
    address: string,
  ): Promise<'used' | 'refused' | 'copied'>
  /** Removes a passkey of an admin. `undefined`: the admin has no passkey with that id. */
  remove(admin: Pick<Admin, 'id'>, id: string, actor: Actor): Promise<Passkey | undefined>
  /** Removes all passkeys of an admin. Returns their number. */
  removeAll(email: string, actor: Actor): Promise<number>
}

export function createPasskeys(dependencies: {
  store: Store
  vault: Vault
  clock: Clock
  random: Random
  /** Names the broker in the browser's dialog. */
  issuer: string
  publicUrl: string
}): Passkeys {
  const { store, clock, issuer, publicUrl } = dependencies
  const { hostname, origin } = new URL(publicUrl)
  const rp: RelyingParty = { id: hostname, name: issuer, origin }
  const challenges = createPasskeyChallenges(dependencies)

  const event = (actor: Actor, action: string, details: string): NewEvent => ({
    at: clock.now(),
    ...actorFields(actor),
    action,
    details,
  })

  const remove = async (passkey: Passkey, actor: Actor, details: string): Promise<boolean> => {
    for (;;) {
      const stored = (await store.findPasskey(passkey.id))?.passkey
      if (stored?.adminId !== passkey.adminId) return false
      const removed = event(actor, 'admin.passkey_removed', details)
      if (await store.updatePasskey(stored, null, [removed])) return true
    }
  }

  /** Records the use; uses at the same time each count. */
  const count = async (
    { passkey, admin }: FoundPasskey,
    counter: number,
    address: string,
  ): Promise<'used' | 'refused' | 'copied'> => {
    for (;;) {
      const stored = (await store.findPasskey(passkey.id))?.passkey
      if (!stored) return 'refused'
      if (counter <= stored.counter && (counter > 0 || stored.counter > 0)) return 'copied'
      const after = { ...stored, counter, lastUsedAt: clock.now() }
      const used = event(byOwner(admin, address), 'admin.passkey_used', passkey.name)
      if (await store.updatePasskey(stored, after, [used])) return 'used'
    }
  }

  return {
    isSupported: isIP(hostname.replace(/^\[|\]$/g, '')) === 0,

    async offer(purpose, owner) {
      const { challenge, sealed } = challenges.create(purpose)
      const known = owner ? await store.listPasskeys(owner.id) : []
      const options = requestOptions(rp, { challenge, known, timeoutMs: CHALLENGE_LIFETIME_MS })
      return { options, challenge: sealed }
    },

    async offerNew({ admin, session }) {
      const { challenge, sealed } = challenges.create(`add ${session.idHash}`)
      const known = await store.listPasskeys(admin.id)
      const more = { challenge, known, timeoutMs: CHALLENGE_LIFETIME_MS }
      return { options: creationOptions(rp, admin, more), challenge: sealed }
    },

    async add({ admin, session }, { response, challenge: sealed, name: chosen }, address) {
      if (admin.passkeyIds.length >= MAX_PASSKEYS) return { kind: 'full' }
      const challenge = await challenges.use(`add ${session.idHash}`, sealed)
      const made = challenge && (await verifyCreation(rp, { response, challenge }))
      if (!made) return { kind: 'refused' }
      const name = visibleStart(chosen, MAX_NAME_LENGTH_CHARS) || 'Passkey'
      const now = clock.now()
      const passkey = { ...made, adminId: admin.id, name, createdAt: now, lastUsedAt: null }
      const added = event(byOwner(admin, address), 'admin.passkey_added', name)
      const isAdded = await store.updatePasskey(null, passkey, [added])
      return isAdded ? { kind: 'added', name } : { kind: 'refused' }
    },

    list: (adminId) => store.listPasskeys(adminId),

    async find(response) {
      const id = credentialIdOf(response)
      return id === undefined ? undefined : store.findPasskey(id)
    },

    async use(purpose, { response, challenge: sealed }, found, address) {
      const challenge = await challenges.use(purpose, sealed)
      if (challenge === undefined) return 'refused'
      const counter = await verifyUse(rp, { response, challenge }, found.passkey)
      return counter === undefined ? 'refused' : count(found, counter, address)
    },

    async remove(admin, id, actor) {
      const passkey = (await store.findPasskey(id))?.passkey
      if (passkey?.adminId !== admin.id) return undefined
      return (await remove(passkey, actor, passkey.name)) ? passkey : undefined
    },

    async removeAll(address, actor) {
      const email = normalizeEmail(address)
      const admin = await store.findAdmin(email)
      const passkeys = admin ? await store.listPasskeys(admin.id) : []
      let removed = 0
      for (const passkey of passkeys)
        if (await remove(passkey, actor, `${passkey.name} of ${email}`)) removed++
      return removed
    },
  }
}

const byOwner = ({ email }: Pick<Admin, 'email'>, address: string): Actor => ({
  actor: `admin:${email}`,
  address,
})
