import { Secret as OtpSecret, TOTP } from 'otpauth'
import type { Admin, NewEvent, Store } from '../../db/store.ts'
import { Secret } from '../secret.ts'
import type { Clock, Random } from '../runtime.ts'
import { sha256 } from '../crypto/hash.ts'
import type { Vault } from '../crypto/vault.ts'

/** Codes of the previous and next time step are accepted too, since clocks differ (RFC 6238 5.2). */
const WINDOW_STEPS = 1
const PERIOD_SECONDS = 30
const RECOVERY_CODE_COUNT = 10
const SECRET_LENGTH_BYTES = 20
const RECOVERY_CODE_LENGTH_BYTES = 10

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
  /** Removes the second factor. `false`: there is none. */
  drop(email: string, actor: string, address?: string): Promise<boolean>
}

/** A secret for an authenticator app. */
export interface Proposal {
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

  const place = (id: string) => `admins/${id}/second_factor` as const

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

  const event = (actor: string, action: string, address?: string): NewEvent => ({
    at: clock.now(),
    actor,
    action,
    ...(address !== undefined && { address }),
  })

  const makeRecoveryCodes = () => {
    const codes = Array.from({ length: RECOVERY_CODE_COUNT }, () => recoveryCode(random))
    return { codes, recoveryCodes: codes.map(hashOf) }
  }

  return {
    async propose(admin) {
      const secret = new Secret(
        new OtpSecret({ buffer: bytesOf(random, SECRET_LENGTH_BYTES) }).base32,
      )
      const sealed = vault.seal(place(admin.id), secret)
      const proposed = await store.proposeSecondFactor({ adminId: admin.id, secret: sealed })
      return proposed ? describe(admin, secret) : undefined
    },

    async proposed(admin) {
      const factor = await store.getSecondFactor(admin.id)
      if (!factor || factor.since !== null) return undefined
      return describe(admin, vault.open(place(admin.id), factor.secret))
    },

    async confirm(admin, code, address) {
      const factor = await store.getSecondFactor(admin.id)
      if (!factor || factor.since !== null) return undefined
      const step = stepOf(admin, vault.open(place(admin.id), factor.secret), digits(code))
      if (step === null) return undefined
      const { codes, recoveryCodes } = makeRecoveryCodes()
      const confirmed = await store.confirmSecondFactor({
        adminId: admin.id,
        step,
        recoveryCodes,
        now: clock.now(),
        events: [event(`admin:${admin.email}`, 'admin.second_factor_added', address)],
      })
      return confirmed ? codes : undefined
    },

    async use(admin, code, address) {
      const adminId = admin.id
      if (!/^\d{6}$/.test(digits(code))) {
        const events = [event(`admin:${admin.email}`, 'admin.recovery_code_used', address)]
        return store.useRecoveryCode({ adminId, codeHash: hashOf(code), events })
      }
      const factor = await store.getSecondFactor(adminId)
      if (!factor || factor.since === null) return false
      const step = stepOf(admin, vault.open(place(adminId), factor.secret), digits(code))
      return step !== null && (await store.useSecondFactor({ adminId, step }))
    },

    async recoveryCodesLeft(adminId) {
      const factor = await store.getSecondFactor(adminId)
      return factor && factor.since !== null ? factor.recoveryCodes.length : null
    },

    async renewRecoveryCodes(admin, address) {
      const { codes, recoveryCodes } = makeRecoveryCodes()
      const events = [event(`admin:${admin.email}`, 'admin.recovery_codes_renewed', address)]
      const set = await store.setRecoveryCodes({ adminId: admin.id, recoveryCodes, events })
      return set ? codes : undefined
    },

    drop(address, actor, from) {
      const email = address.trim().toLowerCase()
      const dropped = { ...event(actor, 'admin.second_factor_removed', from), details: email }
      return store.dropSecondFactor({ email, events: [dropped] })
    },
  }
}

/** Removes spaces: authenticator apps show codes with a space in the middle. */
const digits = (code: string): string => code.replace(/\s/g, '')

const bytesOf = (random: Random, size: number): ArrayBuffer => new Uint8Array(random(size)).buffer

/** Sixteen base32 characters in groups of four: 80 bits, enough entropy for a plain hash. */
function recoveryCode(random: Random): string {
  const text = new OtpSecret({
    buffer: bytesOf(random, RECOVERY_CODE_LENGTH_BYTES),
  }).base32.toLowerCase()
  return text.replace(/.{4}(?=.)/g, '$&-')
}

/** Hash of a recovery code, regardless of case and separators. */
const hashOf = (code: string): string => sha256(code.toLowerCase().replace(/[^a-z2-7]/g, ''))
