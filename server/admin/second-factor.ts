import { Secret as OtpSecret, TOTP } from 'otpauth'
import { associatedData } from '../../db/associated-data.ts'
import type { Admin, NewEvent, SecondFactor, Store } from '../../db/store.ts'
import { Secret } from '../secret.ts'
import type { Clock, Random } from '../runtime.ts'
import { sha256 } from '../crypto/hash.ts'
import type { Vault } from '../crypto/vault.ts'

/** A code of the time step before or after is taken too: clocks differ (RFC 6238 5.2). */
const WINDOW = 1
const PERIOD = 30
const RECOVERY_CODES = 10

type Who = Pick<Admin, 'id' | 'email'>

/** A second factor for signing in: time-based codes (TOTP, RFC 6238), and codes for recovery. */
export interface SecondFactors {
  /** Proposes a secret, in the place of an earlier proposal. `undefined`: one is confirmed already. */
  propose(admin: Who): Promise<Proposal | undefined>
  /** What was proposed, as long as it isn't confirmed. */
  proposed(admin: Who): Promise<Proposal | undefined>
  /** A first code confirms it. @returns the recovery codes, this once; `undefined`: the code is wrong */
  confirm(admin: Who, code: string, address: string): Promise<string[] | undefined>
  /** Is it the current code, or a recovery code? Either is good once. */
  use(admin: Who, code: string, address: string): Promise<boolean>
  /** How many recovery codes are left; `null`: there is no second factor. */
  recoveryCodesLeft(adminId: string): Promise<number | null>
  /** New recovery codes instead of the old. `undefined`: there is no second factor. */
  renewRecoveryCodes(admin: Who, address: string): Promise<string[] | undefined>
  /** `false`: there is none. */
  drop(email: string, actor: string, address?: string): Promise<boolean>
}

/** For the app that makes the codes. */
export interface Proposal {
  /** Base32, as people type it. */
  secret: Secret
  /** As its QR code says it: `otpauth://totp/…`. */
  uri: Secret
}

export function createSecondFactors(needs: {
  store: Store
  vault: Vault
  clock: Clock
  random: Random
  /** What the app calls this broker. */
  issuer: string
}): SecondFactors {
  const { store, vault, clock, random, issuer } = needs

  const totp = ({ email }: Who, secret: Secret): TOTP =>
    new TOTP({
      issuer,
      label: email,
      secret: OtpSecret.fromBase32(secret.reveal()),
      period: PERIOD,
    })

  const describe = (admin: Who, secret: Secret): Proposal => ({
    secret,
    uri: new Secret(totp(admin, secret).toString()),
  })

  /** The time step whose code this is; `null`: of none that counts now. */
  const stepOf = (admin: Who, secret: Secret, code: string): number | null => {
    const timestamp = clock.now()
    const delta = totp(admin, secret).validate({ token: code, timestamp, window: WINDOW })
    return delta === null ? null : Math.floor(timestamp / 1000 / PERIOD) + delta
  }

  const event = (actor: string, action: string, address?: string): NewEvent => ({
    at: clock.now(),
    actor,
    action,
    ...(address !== undefined && { address }),
  })

  const makeRecoveryCodes = () => {
    const codes = Array.from({ length: RECOVERY_CODES }, () => recoveryCode(random))
    return { codes, recoveryCodes: codes.map(hashOf) }
  }

  /**
   * Changes a second factor as it is by now: changes that others make at the same time stay. `false`: there is
   * nothing that `change` applies to.
   */
  const update = async (
    adminId: string,
    change: (before: SecondFactor | null) => SecondFactor | null | undefined,
    events: NewEvent[] = [],
  ): Promise<boolean> => {
    for (;;) {
      const before = (await store.getSecondFactor(adminId)) ?? null
      const after = change(before)
      if (after === undefined) return false
      if (await store.updateSecondFactor(adminId, before, after, events)) return true
      // Still none: the admin was removed.
      if (!before && !(await store.getSecondFactor(adminId))) return false
    }
  }

  const stepOfFactor = (admin: Who, { secret }: SecondFactor, code: string): number | null =>
    stepOf(admin, vault.open(associatedData.secondFactor(admin.id), secret), digits(code))

  return {
    async propose(admin) {
      const secret = new Secret(new OtpSecret({ buffer: bytesOf(random, 20) }).base32)
      const sealed = vault.seal(associatedData.secondFactor(admin.id), secret)
      const proposal = { secret: sealed, since: null, lastStep: null, recoveryCodes: [] }
      const proposed = await update(admin.id, (before) =>
        before && before.since !== null ? undefined : proposal,
      )
      return proposed ? describe(admin, secret) : undefined
    },

    async proposed(admin) {
      const factor = await store.getSecondFactor(admin.id)
      if (!factor || factor.since !== null) return undefined
      return describe(admin, vault.open(associatedData.secondFactor(admin.id), factor.secret))
    },

    async confirm(admin, code, address) {
      const { codes, recoveryCodes } = makeRecoveryCodes()
      const confirm = (factor: SecondFactor | null) => {
        if (!factor || factor.since !== null) return undefined
        const lastStep = stepOfFactor(admin, factor, code)
        if (lastStep === null) return undefined
        return { ...factor, since: clock.now(), lastStep, recoveryCodes }
      }
      const added = event(`admin:${admin.email}`, 'admin.second_factor_added', address)
      return (await update(admin.id, confirm, [added])) ? codes : undefined
    },

    async use(admin, code, address) {
      if (!/^\d{6}$/.test(digits(code))) {
        const used = event(`admin:${admin.email}`, 'admin.recovery_code_used', address)
        return update(admin.id, (factor) => useRecoveryCode(factor, hashOf(code)), [used])
      }
      return update(admin.id, (factor) => {
        const step = factor && factor.since !== null ? stepOfFactor(admin, factor, code) : null
        return step === null ? undefined : useStep(factor, step)
      })
    },

    async recoveryCodesLeft(adminId) {
      const factor = await store.getSecondFactor(adminId)
      return factor && factor.since !== null ? factor.recoveryCodes.length : null
    },

    async renewRecoveryCodes(admin, address) {
      const { codes, recoveryCodes } = makeRecoveryCodes()
      const renew = (factor: SecondFactor | null) =>
        factor && factor.since !== null ? { ...factor, recoveryCodes } : undefined
      const renewed = event(`admin:${admin.email}`, 'admin.recovery_codes_renewed', address)
      return (await update(admin.id, renew, [renewed])) ? codes : undefined
    },

    async drop(address, actor, from) {
      const email = address.trim().toLowerCase()
      const admin = await store.findAdmin(email)
      if (!admin) return false
      const dropped = { ...event(actor, 'admin.second_factor_removed', from), details: email }
      return update(admin.id, (factor) => (factor ? null : undefined), [dropped])
    },
  }
}

/** The second factor after the code of a time step was used; `undefined`: a code works once (RFC 6238 5.2). */
export function useStep(factor: SecondFactor | null, step: number): SecondFactor | undefined {
  if (!factor || factor.since === null || step <= (factor.lastStep ?? -1)) return undefined
  return { ...factor, lastStep: step }
}

/** The second factor after a recovery code was used; `undefined`: there is no such code (any more). */
export function useRecoveryCode(
  factor: SecondFactor | null,
  codeHash: string,
): SecondFactor | undefined {
  if (!factor || factor.since === null || !factor.recoveryCodes.includes(codeHash)) return undefined
  return { ...factor, recoveryCodes: factor.recoveryCodes.filter((hash) => hash !== codeHash) }
}

/** As authenticator apps show it: with a space in the middle. */
const digits = (code: string): string => code.replace(/\s/g, '')

const bytesOf = (random: Random, size: number): ArrayBuffer => new Uint8Array(random(size)).buffer

/** Sixteen characters of base32 in groups of four: 80 bits, which a plain hash keeps safe. */
function recoveryCode(random: Random): string {
  const text = new OtpSecret({ buffer: bytesOf(random, 10) }).base32.toLowerCase()
  return text.replace(/.{4}(?=.)/g, '$&-')
}

/** However it was copied. */
const hashOf = (code: string): string => sha256(code.toLowerCase().replace(/[^a-z2-7]/g, ''))
