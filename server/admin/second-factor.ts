import { Secret as OtpSecret, TOTP } from 'otpauth'
import { associatedData } from '../../db/associated-data.ts'
import type { Admin, NewEvent, SecondFactor, Store } from '../../db/store.ts'
import { Secret } from '../secret.ts'
import type { Clock, Random } from '../runtime.ts'
import { sha256 } from '../crypto/hash.ts'
import type { Vault } from '../crypto/vault.ts'
import { actorFields } from './actor.ts'
import type { Actor } from './actor.ts'
import { normalizeEmail } from '../visible-text.ts'

/** Codes of the previous and next time step are accepted too, since clocks differ (RFC 6238 5.2). */
const WINDOW_STEPS = 1
const PERIOD_SECONDS = 30
const RECOVERY_CODE_COUNT = 10
const SECRET_LENGTH_BYTES = 20
const RECOVERY_CODE_LENGTH_BYTES = 15

type AdminKey = Pick<Admin, 'id' | 'email'>

/** The second factor of sign-in: time-based codes (TOTP, RFC 6238) and recovery codes. */
export interface SecondFactors {
  /** Proposes a new secret; replaces an earlier proposal. `undefined`: a secret is already confirmed. */
  propose(admin: AdminKey): Promise<Proposal | undefined>
  /** The proposed secret, while it is not confirmed. */
  proposed(admin: AdminKey): Promise<Proposal | undefined>
  /** Confirms the secret by a first code. @returns the recovery codes, only this once; `undefined`: wrong code */
  confirm(admin: AdminKey, code: string, address: string): Promise<string[] | undefined>
  /** Uses a current code or a recovery code; each works once. `false`: wrong or used code */
  use(admin: AdminKey, code: string, address: string): Promise<boolean>
  /** Number of unused recovery codes; `null`: there is no second factor. */
  recoveryCodesLeft(adminId: string): Promise<number | null>
  /** Replaces the recovery codes. `undefined`: there is no second factor. */
  renewRecoveryCodes(admin: AdminKey, address: string): Promise<string[] | undefined>
  /** Removes the second factor. `false`: the admin has no second factor. */
  drop(email: string, actor: Actor): Promise<boolean>
}

/** A secret for an authenticator app. */
interface Proposal {
  /** Base32, for typing. */
  secret: Secret
  /** `otpauth://totp/…`, for a QR code. */
  uri: Secret
}

export function createSecondFactors(dependencies: {
  store: Store
  vault: Vault
  clock: Clock
  random: Random
  /** The broker's name in the authenticator app. */
  issuer: string
}): SecondFactors {
  const { store, vault, clock, random, issuer } = dependencies

  const totp = ({ email }: AdminKey, secret: Secret): TOTP =>
    new TOTP({
      issuer,
      label: email,
      secret: OtpSecret.fromBase32(secret.reveal()),
      period: PERIOD_SECONDS,
    })

  const describe = (admin: AdminKey, secret: Secret): Proposal => ({
    secret,
    uri: new Secret(totp(admin, secret).toString()),
  })

  /** The time step that this code belongs to; `null`: of no acceptable step. */
  const stepOf = (admin: AdminKey, secret: Secret, code: string): number | null => {
    const timestamp = clock.now()
    const delta = totp(admin, secret).validate({ token: code, timestamp, window: WINDOW_STEPS })
    return delta === null ? null : Math.floor(timestamp / 1000 / PERIOD_SECONDS) + delta
  }

  const event = (actor: Actor, action: string): NewEvent => ({
    at: clock.now(),
    ...actorFields(actor),
    action,
  })

  const makeRecoveryCodes = () => {
    const codes = Array.from({ length: RECOVERY_CODE_COUNT }, () => recoveryCode(random))
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

  const stepOfFactor = (admin: AdminKey, { secret }: SecondFactor, code: string): number | null =>
    stepOf(admin, vault.open(associatedData.secondFactor(admin.id), secret), digits(code))

  return {
    async propose(admin) {
      const secret = new Secret(
        new OtpSecret({ buffer: bytesOf(random, SECRET_LENGTH_BYTES) }).base32,
      )
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
      const added = event(byOwner(admin, address), 'admin.second_factor_added')
      return (await update(admin.id, confirm, [added])) ? codes : undefined
    },

    async use(admin, code, address) {
      if (!/^\d{6}$/.test(digits(code))) {
        const used = event(byOwner(admin, address), 'admin.recovery_code_used')
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
      const renewed = event(byOwner(admin, address), 'admin.recovery_codes_renewed')
      return (await update(admin.id, renew, [renewed])) ? codes : undefined
    },

    async drop(address, actor) {
      const email = normalizeEmail(address)
      const admin = await store.findAdmin(email)
      if (!admin) return false
      const dropped = { ...event(actor, 'admin.second_factor_removed'), details: email }
      return update(admin.id, (factor) => (factor ? null : undefined), [dropped])
    },
  }
}

const byOwner = ({ email }: AdminKey, address: string): Actor => ({
  actor: `admin:${email}`,
  address,
})

/** The second factor after the code of a time step was used; `undefined`: a code works once (RFC 6238 5.2). */
export function useStep(factor: SecondFactor | null, step: number): SecondFactor | undefined {
  if (!factor || factor.since === null || step <= (factor.lastStep ?? -1)) return undefined
  return { ...factor, lastStep: step }
}

/** The second factor after a recovery code was used; `undefined`: there is no such code. */
export function useRecoveryCode(
  factor: SecondFactor | null,
  codeHash: string,
): SecondFactor | undefined {
  if (!factor || factor.since === null || !factor.recoveryCodes.includes(codeHash)) return undefined
  return { ...factor, recoveryCodes: factor.recoveryCodes.filter((hash) => hash !== codeHash) }
}

/** The digits of a code: apps show a space in the middle, copying adds invisible marks, keyboards type wide digits. */
const digits = (code: string): string => code.normalize('NFKC').replace(/[\s\p{Cf}]/gu, '')

const bytesOf = (random: Random, size: number): ArrayBuffer => new Uint8Array(random(size)).buffer

/** 24 base32 characters in groups of four: 120 bits, enough entropy for a plain hash (ASVS 5.0 6.5.2: 112). */
function recoveryCode(random: Random): string {
  const text = new OtpSecret({
    buffer: bytesOf(random, RECOVERY_CODE_LENGTH_BYTES),
  }).base32.toLowerCase()
  return text.replace(/.{4}(?=.)/g, '$&-')
}

/** Hash of a recovery code, regardless of case and separators. */
const hashOf = (code: string): string =>
  sha256(
    code
      .normalize('NFKC')
      .toLowerCase()
      .replace(/[^a-z2-7]/g, ''),
  )
