import type { App, DeviceCode, Hash, NewEvent, Store } from '../../db/store.ts'
import { BrokerError } from '../errors.ts'
import { Secret } from '../secret.ts'
import { SCOPE } from './authorize.ts'
import type { Clock, Random } from '../runtime.ts'
import { keyToBind } from './dpop.ts'
import type { Proof } from './dpop.ts'
import { grantBegunEvent } from './grants.ts'
import type { IssuedToken, NewGrant } from './grants.ts'
import { newSecret, sha256 } from '../crypto/hash.ts'
import { newUserCode, readUserCode } from './user-code.ts'

/** The device authorization response (RFC 8628 3.2). */
export interface DeviceAuthorization {
  deviceCode: Secret
  /** Only letters, without the dash. */
  userCode: string
  /** Seconds. */
  expiresIn: number
  /** Minimum time between two polls, seconds. */
  interval: number
}

/** A pending device code that a user has entered, and its app. */
export interface PendingDevice {
  code: DeviceCode
  app: App
}

/** The user's answer, and where it came from. */
export interface DeviceAnswer {
  deviceCodeHash: Hash
  appId: string
  /** Label of the browser that the user answers with. */
  device: string
  address: string
}

/** A device access token request (RFC 8628 3.4). */
export interface DevicePoll {
  app: App
  deviceCode: Secret
  /** Binds the grant to a key. */
  proof: Proof | null
  address: string
}

/** Device authorization grant (RFC 8628), except for the user's authorization at Ellipsis Drive. */
export interface DeviceFlow {
  /** @throws BrokerError `unauthorized_client` */
  start(app: App, from: { device: string; address: string }): Promise<DeviceAuthorization>
  /** Finds a pending device code by its user code, as typed; `undefined`: none is pending. */
  find(typed: string): Promise<PendingDevice | undefined>
  /** Does the device code still wait for the user's answer? */
  isPending(deviceCodeHash: Hash): Promise<boolean>
  /** Records that the user allowed the device. `false`: too late. */
  approve(answer: DeviceAnswer & { connectionId: string }): Promise<boolean>
  /** Records that the user denied the device. */
  deny(answer: Pick<DeviceAnswer, 'deviceCodeHash'>): Promise<void>
  /**
   * @param prepare runs before the code is used up: if it throws, the device may poll again
   * @throws BrokerError `authorization_pending`, `polled_too_often`, `device_refused`, `expired_token`,
   *   `invalid_grant`, `invalid_dpop_proof`
   */
  poll(
    poll: DevicePoll,
    prepare?: (code: { connectionId: string }) => Promise<void>,
  ): Promise<IssuedToken>
}

/** Lifetime of a device code: time to find another device, and to sign in there. */
const DEVICE_CODE_LIFETIME_MS = 15 * 60_000

/** Minimum time between two polls, and its increase after each poll that came too soon (RFC 8628 3.2, 3.5). */
const POLL_INTERVAL_SECONDS = 5
const POLL_INTERVAL_INCREASE_SECONDS = 5

export function createDeviceFlow(deps: {
  store: Store
  newGrant: NewGrant
  clock: Clock
  random: Random
}): DeviceFlow {
  const { store, newGrant, clock, random } = deps

  /** The app's device code, in any state. */
  const readCode = async ({ app, deviceCode }: DevicePoll): Promise<DeviceCode> => {
    checkAllowed(app)
    const code = await store.getDeviceCode(sha256(deviceCode.reveal()))
    if (!code || code.appId !== app.id) throw unknownCode()
    return code
  }

  /** A device code that is used twice was copied: its grant is revoked, as in RFC 6749 4.1.2. */
  const refuseReuse = async ({ grantId, appId }: DeviceCode, address: string): Promise<never> => {
    const now = clock.now()
    if (grantId !== null) {
      const event = {
        at: now,
        actor: 'system',
        action: 'grant.revoked',
        appId,
        grantId,
        address,
        details: 'its device code was used a second time',
      }
      await store.revokeGrant({ id: grantId, now, events: [event] })
    }
    throw invalidGrant('This device_code was used before; its grant is revoked.')
  }

  const refusePending = async ({ deviceCodeHash }: DeviceCode): Promise<never> => {
    const isTooSoon = await store.pollDeviceCode({
      deviceCodeHash,
      now: clock.now(),
      penalty: POLL_INTERVAL_INCREASE_SECONDS,
    })
    throw new BrokerError(isTooSoon ? 'polled_too_often' : 'authorization_pending')
  }

  return {
    async start(app, { device, address }) {
      checkAllowed(app)
      const deviceCode = newSecret(random)
      const now = clock.now()
      for (;;) {
        const userCode = newUserCode(random)
        const isAdded = await store.addDeviceCode({
          deviceCodeHash: sha256(deviceCode),
          userCodeHash: sha256(userCode),
          appId: app.id,
          scope: SCOPE,
          device,
          address,
          status: 'pending',
          connectionId: null,
          intervalSeconds: POLL_INTERVAL_SECONDS,
          polledAt: null,
          createdAt: now,
          expiresAt: now + DEVICE_CODE_LIFETIME_MS,
          usedAt: null,
          grantId: null,
        })
        if (!isAdded) continue
        return {
          deviceCode: new Secret(deviceCode),
          userCode,
          expiresIn: DEVICE_CODE_LIFETIME_MS / 1000,
          interval: POLL_INTERVAL_SECONDS,
        }
      }
    },

    async find(typed) {
      const letters = readUserCode(typed)
      if (letters === '') return undefined
      const userCodeHash = sha256(letters)
      const code = await store.findDeviceCode({ userCodeHash, now: clock.now() })
      const app = code && (await store.getApp(code.appId))
      return code && app && { code, app }
    },

    async isPending(deviceCodeHash) {
      const code = await store.getDeviceCode(deviceCodeHash)
      return code?.status === 'pending' && code.expiresAt > clock.now()
    },

    approve({ deviceCodeHash, connectionId, appId, device, address }) {
      const now = clock.now()
      const event: NewEvent = {
        at: now,
        actor: 'user',
        action: 'device.allowed',
        appId,
        connectionId,
        address,
        details: device,
      }
      return store.approveDeviceCode({ deviceCodeHash, connectionId, now, events: [event] })
    },

    // Writes no event: anyone can start a device flow and deny it, any number of times.
    async deny({ deviceCodeHash }) {
      await store.denyDeviceCode({ deviceCodeHash, now: clock.now() })
    },

    async poll(poll, prepare) {
      const code = await readCode(poll)
      const { deviceCodeHash, connectionId } = code
      if (code.usedAt !== null) return refuseReuse(code, poll.address)
      if (code.status === 'denied') throw new BrokerError('device_refused')
      const now = clock.now()
      if (code.expiresAt <= now) throw new BrokerError('expired_token')
      if (connectionId === null) return refusePending(code)
      const jkt = await keyToBind(poll.app, poll.proof)
      await prepare?.({ connectionId })
      const issued = await newGrant({ ...code, connectionId }, poll.app, jkt)
      const { grant } = issued
      const events = [grantBegunEvent(grant, poll.address)]
      if (await store.redeemDeviceCode({ deviceCodeHash, now, grant, events })) return issued
      const current = await store.getDeviceCode(deviceCodeHash)
      if (current?.usedAt) return refuseReuse(current, poll.address)
      throw unknownCode()
    },
  }
}

/** The host decides which apps may: a device flow can be used to trick users (RFC 8628 5.4). */
function checkAllowed(app: App): void {
  if (app.device) return
  const description = 'This app is not registered for devices; ask the host of this broker.'
  throw new BrokerError('unauthorized_client', { description })
}

const invalidGrant = (description: string): BrokerError =>
  new BrokerError('invalid_grant', { description })

const unknownCode = (): BrokerError => invalidGrant('This device_code is unknown.')
