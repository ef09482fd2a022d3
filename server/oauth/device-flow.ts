import type {
  AccessPolicy,
  App,
  DeviceCode,
  Hash,
  Millis,
  NewEvent,
  Store,
} from '../../db/store.ts'
import { BrokerError } from '../errors.ts'
import { Secret } from '../secret.ts'
import type { Clock, Random } from '../runtime.ts'
import { createAddDeviceCode } from './device-code-bounds.ts'
import { keyToBind } from './dpop.ts'
import type { Proof } from './dpop.ts'
import { grantBegunEvent, revokeReused } from './grants.ts'
import type { AuthenticatedToken, NewGrant } from './grants.ts'
import { newSecret, sha256 } from '../crypto/hash.ts'
import { newUserCode, readUserCode } from './user-code.ts'

/** The device authorization response (RFC 8628 3.2). */
interface DeviceAuthorization {
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
interface DeviceAnswer {
  deviceCodeHash: Hash
  appId: string
  /** Label of the browser that the user answers with. */
  device: string
  address: string
}

/** A device access token request (RFC 8628 3.4). */
interface DevicePoll {
  app: App
  deviceCode: Secret
  /** Binds the grant to a key. */
  proof: Proof | null
  address: string
  /** The app's own id of the user, if it sent one. */
  externalId?: string | null
}

/** Device authorization grant (RFC 8628), except for the user's authorization at Ellipsis Drive. */
export interface DeviceFlow {
  /**
   * @param from.network that codes are counted for; empty: unknown
   * @throws BrokerError `unauthorized_client`, `slow_down`
   */
  start(
    app: App,
    from: { device: string; address: string; network: string; scope: string },
  ): Promise<DeviceAuthorization>
  /** Finds a pending device code by its user code, as typed; `undefined`: none is pending. */
  find(typed: string): Promise<PendingDevice | undefined>
  /** Finds a device code that the user has denied, by its user code, as typed. */
  findDenied(typed: string): Promise<PendingDevice | undefined>
  /** Does the device code still wait for the user's answer? */
  isPending(deviceCodeHash: Hash): Promise<boolean>
  /** Records that the user allowed the device. `false`: too late. */
  approve(
    answer: DeviceAnswer & { connectionId: string; policy: AccessPolicy | null },
  ): Promise<boolean>
  /** Records that the user denied the device. */
  deny(answer: Pick<DeviceAnswer, 'deviceCodeHash'>): Promise<void>
  /**
   * @param prepare runs before the code is used up: if it throws, the device may poll again
   * @throws BrokerError `authorization_pending`, `polled_too_often`, `device_refused`, `expired_token`,
   *   `invalid_grant`, `invalid_dpop_proof`
   */
  poll(
    poll: DevicePoll,
    prepare?: (
      code: Pick<DeviceCode, 'scope' | 'policy'> & { connectionId: string },
    ) => Promise<void>,
  ): Promise<AuthenticatedToken>
}

/** Lifetime of a device code: time to find another device, and to sign in there. */
const DEVICE_CODE_LIFETIME_MS = 15 * 60_000

/** Minimum time between two polls, and its increase after each poll that came too soon (RFC 8628 3.2, 3.5). */
const POLL_INTERVAL_SECONDS = 5
const POLL_INTERVAL_INCREASE_SECONDS = 5
/** Clocks and networks are uneven: polls that come this much too soon are accepted. */
const POLL_TOLERANCE_MS = 500

export function createDeviceFlow(deps: {
  store: Store
  newGrant: NewGrant
  clock: Clock
  random: Random
}): DeviceFlow {
  const { store, newGrant, clock, random } = deps
  const addDeviceCode = createAddDeviceCode(store)

  /** The app's device code, in any state. */
  const readCode = async ({ app, deviceCode }: DevicePoll): Promise<DeviceCode> => {
    checkAllowed(app)
    const code = await store.getDeviceCode({ deviceCodeHash: sha256(deviceCode.reveal()) })
    if (!code || code.appId !== app.id) throw unknownCode()
    return code
  }

  const refuseReuse = async (code: DeviceCode, address: string): Promise<never> => {
    const details = 'its device code was used a second time'
    await revokeReused(store, code, { now: clock.now(), address, details })
    throw invalidGrant(
      'device_code_reused',
      'This device_code was used before; its grant is revoked.',
    )
  }

  const allowed = ({ appId, device, address }: DeviceAnswer): NewEvent => ({
    ...{ at: clock.now(), actor: 'user', action: 'device.allowed', appId, address },
    details: device,
  })

  /**
   * Changes a code as it is by now: changes that others make at the same time stay. Returns the code before;
   * `undefined`: it is gone, or `change` leaves it as it is.
   */
  const update = async (
    deviceCodeHash: Hash,
    change: (code: DeviceCode) => DeviceCode | null,
    events: NewEvent[] = [],
  ): Promise<DeviceCode | undefined> => {
    for (;;) {
      const before = await store.getDeviceCode({ deviceCodeHash })
      const after = before && change(before)
      if (!after) return undefined
      if (await store.updateDeviceCode(before, after, events)) return before
    }
  }

  const refusePending = async ({ deviceCodeHash }: DeviceCode): Promise<never> => {
    const now = clock.now()
    const before = await update(deviceCodeHash, (code) =>
      isPending(code, now) ? recordPoll(code, now) : null,
    )
    const tooSoon = before !== undefined && isPolledTooSoon(before, now)
    throw new BrokerError(tooSoon ? 'polled_too_often' : 'authorization_pending')
  }

  const findByUserCode = async (
    typed: string,
    status: DeviceCode['status'],
  ): Promise<PendingDevice | undefined> => {
    const letters = readUserCode(typed)
    if (letters === '') return undefined
    const code = await store.getDeviceCode({ userCodeHash: sha256(letters) })
    if (code?.status !== status || code.expiresAt <= clock.now()) return undefined
    const app = await store.getApp(code.appId)
    return app && { code, app }
  }

  return {
    async start(app, from) {
      checkAllowed(app)
      const deviceCode = newSecret(random)
      const now = clock.now()
      for (;;) {
        const userCode = newUserCode(random)
        const code: DeviceCode = {
          ...from,
          deviceCodeHash: sha256(deviceCode),
          userCodeHash: sha256(userCode),
          appId: app.id,
          status: 'pending',
          connectionId: null,
          intervalSeconds: POLL_INTERVAL_SECONDS,
          polledAt: null,
          createdAt: now,
          expiresAt: now + DEVICE_CODE_LIFETIME_MS,
          usedAt: null,
          grantId: null,
          policy: null,
        }
        // Nobody else can start a flow in the name of an app with a secret.
        const isLimited = !app.confidential && from.network !== ''
        if (!(await addDeviceCode(code, { isLimited }))) continue
        return {
          deviceCode: new Secret(deviceCode),
          userCode,
          expiresIn: DEVICE_CODE_LIFETIME_MS / 1000,
          interval: POLL_INTERVAL_SECONDS,
        }
      }
    },

    find: (typed) => findByUserCode(typed, 'pending'),
    findDenied: (typed) => findByUserCode(typed, 'denied'),

    async isPending(deviceCodeHash) {
      const code = await store.getDeviceCode({ deviceCodeHash })
      return code !== undefined && isPending(code, clock.now())
    },

    async approve({ connectionId, policy, ...answer }) {
      const now = clock.now()
      const approve = (code: DeviceCode): DeviceCode | null =>
        isPending(code, now) ? { ...code, status: 'approved', connectionId, policy } : null
      const events = [{ ...allowed(answer), connectionId }]
      return (await update(answer.deviceCodeHash, approve, events)) !== undefined
    },

    // Writes no event: anyone can start a device flow and deny it, any number of times.
    async deny({ deviceCodeHash }) {
      const now = clock.now()
      await update(deviceCodeHash, (code) =>
        isPending(code, now) ? { ...code, status: 'denied' } : null,
      )
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
      await prepare?.({ ...code, connectionId })
      const issued = await newGrant(
        { ...code, connectionId, browserHash: null, externalId: poll.externalId ?? null },
        poll.app,
        jkt,
      )
      const { grant } = issued
      const events = [grantBegunEvent(grant, poll.address)]
      const source = { deviceCodeHash }
      if (await store.addGrant(grant, { source, now, events })) {
        return { ...issued, nonce: null, authenticatedAt: null }
      }
      const current = await store.getDeviceCode(source)
      if (current?.usedAt) return refuseReuse(current, poll.address)
      throw unknownCode()
    },
  }
}

const isPending = ({ status, expiresAt }: DeviceCode, now: Millis): boolean =>
  status === 'pending' && expiresAt > now

const isPolledTooSoon = ({ polledAt, intervalSeconds }: DeviceCode, now: Millis): boolean =>
  polledAt !== null && now - polledAt < intervalSeconds * 1000 - POLL_TOLERANCE_MS

/** The code after a poll: one that came too soon lengthens the interval (RFC 8628 3.5). */
export const recordPoll = (code: DeviceCode, now: Millis): DeviceCode => ({
  ...code,
  polledAt: now,
  intervalSeconds:
    code.intervalSeconds + (isPolledTooSoon(code, now) ? POLL_INTERVAL_INCREASE_SECONDS : 0),
})

/** The host decides which apps may: a device flow can be used to trick users (RFC 8628 5.4). */
function checkAllowed(app: App): void {
  if (app.device) return
  const description = 'This app is not registered for devices; ask the host of this broker.'
  throw new BrokerError('unauthorized_client', { description, reason: 'device_option_missing' })
}

/** @param reason for the log */
const invalidGrant = (reason: string, description: string): BrokerError =>
  new BrokerError('invalid_grant', { reason, description })

const unknownCode = (): BrokerError =>
  invalidGrant('device_code_unknown', 'This device_code is unknown.')
